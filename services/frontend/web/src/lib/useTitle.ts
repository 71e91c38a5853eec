import { useEffect } from 'react';

/** Title of the tab while a page is shown. */
export function useTitle(title: string): void {
  useEffect(() => {
    document.title = `${title} · Streaming`;
  }, [title]);
}
