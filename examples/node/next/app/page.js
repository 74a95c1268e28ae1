import { unstable_cache as cached } from 'next/cache';

export const revalidate = 60;

const report = cached(async () => `report made at ${Date.now()}`, ['report'], { tags: ['report'] });

export default async function Page() {
  return <p>{await report()}</p>;
}
