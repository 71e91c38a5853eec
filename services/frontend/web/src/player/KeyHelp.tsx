import { Button } from '../components/Button';
import { Dialog } from '../components/Dialog';
import styles from './KeyHelp.module.css';
import { KEY_HELP } from './keys';

export function KeyHelp({ close }: { close: () => void }) {
  return (
    <Dialog title="Keys of the player" close={close}>
      <dl className={styles.keys}>
        {KEY_HELP.map(([keys, effect]) => (
          <div key={keys}>
            <dt>
              <kbd>{keys}</kbd>
            </dt>
            <dd>{effect}</dd>
          </div>
        ))}
      </dl>
      <Button onClick={close}>Close</Button>
    </Dialog>
  );
}
