import { revalidateTag } from 'next/cache';

export async function POST() {
  revalidateTag('report');
  return new Response('refreshed\n');
}
