import { type SubmitEvent, useId, useState, useSyncExternalStore } from 'react';
import { Button } from '../components/Button';
import { Dialog } from '../components/Dialog';
import { ErrorLine } from '../components/Notice';
import { useServices } from '../services';
import type { TokenQuestion } from './authorizer';
import styles from './TokenDialog.module.css';

function TokenForm({ question }: { question: TokenQuestion }) {
  const [token, setToken] = useState('');
  const [remember, setRemember] = useState(false);
  const field = useId();
  const submit = (event: SubmitEvent) => {
    event.preventDefault();
    const text = token.trim();
    if (text !== '') question.answer(text, remember);
  };
  return (
    <form className={styles.form} onSubmit={submit}>
      <p className={styles.text}>
        Uploading and changing videos needs the API token of this platform. Whoever runs it finds it in the
        Secret of the platform.
      </p>
      {question.error !== undefined && <ErrorLine message={question.error} />}
      <div className={styles.field}>
        <label htmlFor={field}>API token</label>
        <input
          id={field}
          type="password"
          autoComplete="off"
          spellCheck={false}
          autoFocus
          value={token}
          onChange={(event) => setToken(event.target.value)}
        />
      </div>
      <label className={styles.remember}>
        <input type="checkbox" checked={remember} onChange={(event) => setRemember(event.target.checked)} />
        Keep it in this browser
      </label>
      <div className={styles.buttons}>
        <Button onClick={question.decline}>Not now</Button>
        <Button look="primary" type="submit" disabled={token.trim() === ''}>
          Use this token
        </Button>
      </div>
    </form>
  );
}

/** Asks for the API token whenever a call needs one. */
export function TokenDialog() {
  const { authorizer } = useServices();
  const question = useSyncExternalStore(authorizer.watch, authorizer.question);
  if (question === undefined) return null;
  return (
    <Dialog title="API token" close={question.decline}>
      <TokenForm question={question} />
    </Dialog>
  );
}
