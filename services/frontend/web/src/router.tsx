/** Four pages on the History API: too few for a library. */

import { type AnchorHTMLAttributes, type MouseEvent, type ReactNode, useSyncExternalStore } from 'react';

export type Route = { page: 'Library' } | { page: 'Upload' } | { page: 'Video'; id: string } | { page: 'NotFound' };

export function parseRoute(path: string): Route {
  const parts = path.split('/').filter((part) => part !== '');
  const [first, second, ...rest] = parts;
  if (first === undefined) return { page: 'Library' };
  if (first === 'upload' && second === undefined) return { page: 'Upload' };
  if (first === 'videos' && second !== undefined && rest.length === 0) {
    try {
      return { page: 'Video', id: decodeURIComponent(second) };
    } catch {
      return { page: 'NotFound' };
    }
  }
  return { page: 'NotFound' };
}

export const paths = {
  library: '/',
  upload: '/upload',
  video: (id: string) => `/videos/${encodeURIComponent(id)}`,
};

const NAVIGATED = 'app:navigated';

function watchLocation(changed: () => void): () => void {
  window.addEventListener('popstate', changed);
  window.addEventListener(NAVIGATED, changed);
  return () => {
    window.removeEventListener('popstate', changed);
    window.removeEventListener(NAVIGATED, changed);
  };
}

export function usePath(): string {
  return useSyncExternalStore(watchLocation, () => window.location.pathname);
}

/** Value of a parameter of the query. */
export function useQuery(name: string): string | undefined {
  const query = useSyncExternalStore(watchLocation, () => window.location.search);
  return new URLSearchParams(query).get(name) ?? undefined;
}

export function navigate(to: string, { replace = false } = {}): void {
  if (replace) window.history.replaceState(null, '', to);
  else window.history.pushState(null, '', to);
  window.dispatchEvent(new Event(NAVIGATED));
  if (!replace) window.scrollTo({ top: 0 });
}

interface LinkProps extends AnchorHTMLAttributes<HTMLAnchorElement> {
  href: string;
  children: ReactNode;
}

/** A link within the application; opens elsewhere when asked to (middle click, Ctrl). */
export function Link({ href, children, ...rest }: LinkProps) {
  const follow = (event: MouseEvent) => {
    if (event.defaultPrevented || event.button !== 0) return;
    if (event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    navigate(href);
  };
  return (
    <a href={href} onClick={follow} {...rest}>
      {children}
    </a>
  );
}
