import { type ReactNode, useEffect, useId, useRef } from 'react';
import { Button } from './Button';
import styles from './Dialog.module.css';

interface DialogProps {
  title: string;
  close: () => void;
  children: ReactNode;
}

/** A modal dialog: the browser's own, with its focus trap and its Escape key. */
export function Dialog({ title, close, children }: DialogProps) {
  const dialog = useRef<HTMLDialogElement>(null);
  const heading = useId();
  useEffect(() => {
    const element = dialog.current;
    element?.showModal();
    return () => element?.close();
  }, []);
  return (
    <dialog
      ref={dialog}
      className={styles.dialog}
      aria-labelledby={heading}
      onCancel={(event) => {
        event.preventDefault();
        close();
      }}
      onClick={(event) => {
        if (event.target === dialog.current) close();
      }}
    >
      <div className={styles.content}>
        <h2 id={heading}>{title}</h2>
        {children}
      </div>
    </dialog>
  );
}

interface ConfirmProps {
  title: string;
  children: ReactNode;
  action: string;
  danger?: boolean;
  confirm: () => void;
  close: () => void;
}

export function Confirm({ title, children, action, danger = false, confirm, close }: ConfirmProps) {
  return (
    <Dialog title={title} close={close}>
      <div className={styles.text}>{children}</div>
      <div className={styles.buttons}>
        <Button onClick={close}>Keep things as they are</Button>
        <Button look={danger ? 'danger' : 'primary'} onClick={confirm}>
          {action}
        </Button>
      </div>
    </Dialog>
  );
}
