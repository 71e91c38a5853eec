import { useEffect, useRef } from 'react';
import { TokenDialog } from './auth/TokenDialog';
import { Header } from './components/Header';
import { Notice } from './components/Notice';
import { LibraryPage } from './library/LibraryPage';
import { Link, parseRoute, paths, type Route, usePath } from './router';
import { UploadPage } from './upload/UploadPage';
import { VideoPage } from './video/VideoPage';
import styles from './App.module.css';

function Page({ route }: { route: Route }) {
  switch (route.page) {
    case 'Library':
      return <LibraryPage />;
    case 'Upload':
      return <UploadPage />;
    case 'Video':
      return <VideoPage key={route.id} id={route.id} />;
    case 'NotFound':
      return (
        <Notice title="There is no such page">
          <Link href={paths.library}>Go to the library</Link>
        </Notice>
      );
  }
}

export function App() {
  const path = usePath();
  const main = useRef<HTMLElement>(null);
  const shown = useRef(path);
  useEffect(() => {
    // Screen readers and keyboards begin at the new page, not where the old one's link was.
    if (shown.current !== path) main.current?.focus({ preventScroll: true });
    shown.current = path;
  }, [path]);
  const route = parseRoute(path);
  return (
    <>
      <a className={styles.skip} href="#main">
        Skip to the content
      </a>
      <Header route={route} />
      <main id="main" ref={main} tabIndex={-1} className={styles.main}>
        <Page route={route} />
      </main>
      <TokenDialog />
    </>
  );
}
