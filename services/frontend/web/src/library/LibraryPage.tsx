import { VIDEO_STATES } from '../api/types';
import buttonStyles from '../components/Button.module.css';
import { Button } from '../components/Button';
import { Icon } from '../components/Icon';
import { ErrorLine, Notice } from '../components/Notice';
import { useNow } from '../lib/useNow';
import { useTitle } from '../lib/useTitle';
import { Link, navigate, paths, useQuery } from '../router';
import styles from './LibraryPage.module.css';
import type { Filter, LibraryState } from './state';
import { useLibrary } from './useLibrary';
import { VideoCard } from './VideoCard';

const FILTERS: Filter[] = ['All', ...VIDEO_STATES];

function useFilter(): Filter {
  const asked = useQuery('state');
  return FILTERS.find((filter) => filter === asked) ?? 'All';
}

function Filters({ current }: { current: Filter }) {
  const choose = (filter: Filter) => {
    navigate(filter === 'All' ? paths.library : `${paths.library}?state=${filter}`, { replace: true });
  };
  return (
    <div className={styles.filters} role="group" aria-label="Show videos by state">
      {FILTERS.map((filter) => (
        <button
          key={filter}
          type="button"
          className={styles.filter}
          aria-pressed={filter === current}
          onClick={() => choose(filter)}
        >
          {filter}
        </button>
      ))}
    </div>
  );
}

function Skeletons() {
  return (
    <ul className={styles.grid} aria-label="Loading videos" aria-busy="true">
      {Array.from({ length: 8 }, (_, index) => (
        <li key={index} className={styles.skeleton} />
      ))}
    </ul>
  );
}

function Empty({ filter }: { filter: Filter }) {
  if (filter !== 'All') {
    return (
      <Notice title={`No video is ${filter.toLowerCase()}`} icon="film">
        <Button onClick={() => navigate(paths.library)}>Show all videos</Button>
      </Notice>
    );
  }
  return (
    <Notice title="Nothing to watch yet" icon="film">
      <p>Upload a video. It is transcoded by itself, and can be watched here as soon as that is done.</p>
      <Link href={paths.upload} className={`${buttonStyles.button ?? ''} ${buttonStyles.primary ?? ''}`}>
        <Icon name="upload" size={18} />
        Upload a video
      </Link>
    </Notice>
  );
}

function List({ state }: { state: LibraryState }) {
  const now = useNow();
  if (state.videos.length > 0) {
    return (
      <ul className={styles.grid}>
        {state.videos.map((video) => (
          <li key={video.id}>
            <VideoCard video={video} now={now} />
          </li>
        ))}
      </ul>
    );
  }
  if (state.status === 'Loading') return <Skeletons />;
  return state.status === 'Failed' ? null : <Empty filter={state.filter} />;
}

export function LibraryPage() {
  const filter = useFilter();
  const { state, loadMore, reload } = useLibrary(filter);
  useTitle('Library');
  return (
    <>
      <div className={styles.top}>
        <h1>Library</h1>
        <Filters current={filter} />
      </div>
      {state.error !== undefined && (
        <ErrorLine message={state.error}>
          <Button onClick={reload}>Try again</Button>
        </ErrorLine>
      )}
      <List state={state} />
      {state.nextCursor !== undefined && (
        <div className={styles.more}>
          <Button onClick={loadMore} disabled={state.status === 'LoadingMore'}>
            {state.status === 'LoadingMore' ? 'Loading …' : 'Show more'}
          </Button>
        </div>
      )}
    </>
  );
}
