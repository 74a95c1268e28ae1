// Package pages renders pages, and keeps each in memcached for a minute.
package pages

import "github.com/bradfitz/gomemcache/memcache"

// Site is a site whose pages are costly to render.
type Site struct {
	Cache  *memcache.Client
	Render func(name string) string
}

// Page returns a page. If the cache fails, it renders the page and does not store it.
func (site *Site) Page(name string) string {
	item, err := site.Cache.Get("page:" + name)
	if err == nil {
		return string(item.Value)
	}
	text := site.Render(name)
	if err == memcache.ErrCacheMiss {
		// A page that is not stored is rendered again.
		_ = site.Cache.Set(&memcache.Item{Key: "page:" + name, Value: []byte(text), Expiration: 60})
	}
	return text
}
