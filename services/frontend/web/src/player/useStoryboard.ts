import { useEffect, useState } from 'react';
import { parseStoryboard, type Thumbnail } from './storyboard';

/** The thumbnails of a storyboard; none while it loads and where there is none. */
export function useStoryboard(url: string | undefined): Thumbnail[] {
  const [thumbnails, setThumbnails] = useState<Thumbnail[]>([]);
  useEffect(() => {
    if (url === undefined) return;
    const controller = new AbortController();
    const address = new URL(url, window.location.href);
    fetch(address, { signal: controller.signal })
      .then((response) => (response.ok ? response.text() : ''))
      .then((text) => setThumbnails(parseStoryboard(text, address.href)))
      // The player works without its previews.
      .catch(() => undefined);
    return () => controller.abort();
  }, [url]);
  return thumbnails;
}
