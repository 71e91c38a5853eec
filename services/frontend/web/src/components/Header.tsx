import { useSyncExternalStore } from 'react';
import { Link, paths, type Route } from '../router';
import { useServices } from '../services';
import type { UploadView } from '../upload/transfer';
import styles from './Header.module.css';
import { Icon } from './Icon';

function Mark() {
  return (
    <svg viewBox="0 0 32 32" width="30" height="30" aria-hidden="true">
      <rect width="32" height="32" rx="9" className={styles.markPlate} />
      <path
        className={styles.markSign}
        d="M12 9.6v12.8c0 .8.9 1.3 1.6.8l9.4-6.4c.6-.4.6-1.2 0-1.6l-9.4-6.4c-.7-.5-1.6 0-1.6.8z"
      />
    </svg>
  );
}

function LiveDot() {
  const { live } = useServices();
  const connection = useSyncExternalStore(live.watch, live.connection);
  const text = {
    Connecting: 'Connecting …',
    Live: 'Live: changes show by themselves',
    Interrupted: 'Connection interrupted, trying again',
  }[connection];
  return (
    <span className={styles.live} data-connection={connection} role="status" title={text}>
      <span className="visually-hidden">{text}</span>
      <span className={styles.liveText} aria-hidden="true">
        {connection === 'Interrupted' ? 'Reconnecting' : connection}
      </span>
    </span>
  );
}

/** Share of the uploads under way, in percent; `undefined` when there is none. */
function uploadPercent(views: UploadView[]): number | undefined {
  const active = views.filter(({ phase }) => ['Waiting', 'Starting', 'Sending', 'Finishing'].includes(phase));
  if (active.length === 0) return undefined;
  const size = active.reduce((sum, view) => sum + view.size, 0);
  const loaded = active.reduce((sum, view) => sum + view.loaded, 0);
  return size === 0 ? 0 : Math.floor((loaded / size) * 100);
}

export function Header({ route }: { route: Route }) {
  const { uploads } = useServices();
  const percent = uploadPercent(useSyncExternalStore(uploads.watch, uploads.views));
  const current = (page: Route['page']) => (route.page === page ? { 'aria-current': 'page' as const } : {});
  return (
    <header className={styles.header}>
      <div className={styles.inner}>
        <Link href={paths.library} className={styles.brand} aria-label="Streaming: to the library">
          <Mark />
          <span className={styles.name}>Streaming</span>
        </Link>
        <nav className={styles.nav} aria-label="Pages">
          <Link href={paths.library} className={styles.link} {...current('Library')}>
            <Icon name="library" size={18} />
            Library
          </Link>
          <Link href={paths.upload} className={styles.link} {...current('Upload')}>
            <Icon name="upload" size={18} />
            Upload
            {percent !== undefined && <span className={styles.count}>{percent} %</span>}
          </Link>
        </nav>
        <LiveDot />
      </div>
    </header>
  );
}
