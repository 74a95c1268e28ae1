// Keeps the pages and the fetched data of Next.js in a cache with a limit of memory.
const { createHash } = require('node:crypto');
const { deserialize, serialize } = require('node:v8');
const { Cache, OutOfMemoryError } = require('memcache-rs');

const entries = new Cache({ name: 'next', memoryLimit: 64 << 20, itemSizeMax: 8 << 20 });
// When each tag was revalidated. None of these times may be evicted before the entries of its tag.
const tagTimes = new Cache({ name: 'next-tags', memoryLimit: 4 << 20, evictions: false });

/** The header in which Next.js lists the tags of a page. */
const TAGS_HEADER = 'x-next-cache-tags';

/** Keys of Next.js may be longer than 250 bytes. */
const hash = (text) => createHash('sha256').update(text).digest();

/** Returns the tags of an entry: those of a page, or those that the reader of data names. */
function tagsOf(value, { tags = [], softTags = [] }) {
  const ofPage = value?.headers?.[TAGS_HEADER];
  return [...tags, ...softTags, ...(ofPage ? ofPage.split(',') : [])];
}

module.exports = class CacheHandler {
  /** Next.js creates a handler for each request. `revalidatedTags` are those of that request. */
  constructor({ revalidatedTags = [] }) {
    this.revalidatedTags = revalidatedTags;
  }

  async get(key, context = {}) {
    const bytes = entries.get(hash(key));
    if (bytes === undefined) return null;
    const entry = deserialize(bytes);
    const isRevalidated = (tag) =>
      this.revalidatedTags.includes(tag) || Number(tagTimes.getString(hash(tag)) ?? 0) >= entry.lastModified;
    return tagsOf(entry.value, context).some(isRevalidated) ? null : entry;
  }

  /** An entry has no TTL: Next.js shows the old one while it makes a new one. */
  async set(key, value) {
    entries.set(hash(key), serialize({ value, lastModified: Date.now() }));
  }

  async revalidateTag(tags) {
    try {
      for (const tag of [tags].flat()) tagTimes.set(hash(tag), String(Date.now()));
    } catch (error) {
      if (!(error instanceof OutOfMemoryError)) throw error;
      // Without entries, no time is needed.
      entries.flush();
      tagTimes.flush();
    }
  }

  /** A handler keeps nothing for its request. */
  resetRequestCache() {}
};
