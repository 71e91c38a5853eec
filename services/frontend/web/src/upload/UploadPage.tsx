import { type DragEvent, useRef, useState, useSyncExternalStore } from 'react';
import { Button } from '../components/Button';
import { Icon } from '../components/Icon';
import { useTitle } from '../lib/useTitle';
import { useServices } from '../services';
import type { UploadView } from './transfer';
import { UploadRow } from './UploadRow';
import styles from './UploadPage.module.css';

function DropZone({ take }: { take: (files: File[]) => void }) {
  const [over, setOver] = useState(false);
  const input = useRef<HTMLInputElement>(null);
  const drop = (event: DragEvent) => {
    event.preventDefault();
    setOver(false);
    take([...event.dataTransfer.files]);
  };
  return (
    <div
      className={styles.zone}
      data-over={over}
      onDragOver={(event) => {
        event.preventDefault();
        setOver(true);
      }}
      onDragLeave={() => setOver(false)}
      onDrop={drop}
    >
      <span className={styles.zoneIcon}>
        <Icon name="upload" size={32} />
      </span>
      <p className={styles.zoneTitle}>Drop videos here</p>
      <p className={styles.zoneText}>MP4, MOV, MKV, WebM and most others, several at once</p>
      <Button look="primary" onClick={() => input.current?.click()}>
        Choose files
      </Button>
      <input
        ref={input}
        className="visually-hidden"
        type="file"
        multiple
        accept="video/*,audio/*,.mkv,.ts,.m2ts,.mxf"
        aria-label="Videos to upload"
        tabIndex={-1}
        onChange={(event) => {
          take([...(event.target.files ?? [])]);
          // So that the same file can be chosen again.
          event.target.value = '';
        }}
      />
    </div>
  );
}

function Rows({ views }: { views: UploadView[] }) {
  const { uploads } = useServices();
  if (views.length === 0) return null;
  const done = views.filter(({ phase }) => phase === 'Done').length;
  return (
    <section className={styles.list} aria-label="Uploads">
      <div className={styles.listTop}>
        <h2>
          {done} of {views.length} uploaded
        </h2>
        {done > 0 && (
          <Button look="quiet" onClick={() => uploads.clearDone()}>
            Clear finished
          </Button>
        )}
      </div>
      <ul className={styles.rows}>
        {views.map((view) => (
          <li key={view.id}>
            <UploadRow view={view} />
          </li>
        ))}
      </ul>
    </section>
  );
}

/** A way back for those who kept the token in a browser that others use. */
function ForgetToken() {
  const { authorizer } = useServices();
  const known = useSyncExternalStore(authorizer.watch, authorizer.known);
  if (!known) return null;
  return (
    <div className={styles.token}>
      <span>The API token is kept here.</span>
      <Button look="quiet" onClick={() => authorizer.forget()}>
        Forget it
      </Button>
    </div>
  );
}

export function UploadPage() {
  const { uploads } = useServices();
  const views = useSyncExternalStore(uploads.watch, uploads.views);
  useTitle('Upload');
  return (
    <div className={styles.page}>
      <h1>Upload</h1>
      <DropZone take={(files) => void uploads.add(files)} />
      <Rows views={views} />
      <ForgetToken />
    </div>
  );
}
