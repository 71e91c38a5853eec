import type { ReactNode } from 'react';
import { Icon, type IconName } from './Icon';
import styles from './Notice.module.css';

interface NoticeProps {
  title: string;
  icon?: IconName;
  children?: ReactNode;
}

/** What a page says when it has nothing else to show. */
export function Notice({ title, icon, children }: NoticeProps) {
  return (
    <section className={styles.notice}>
      {icon !== undefined && (
        <span className={styles.icon}>
          <Icon name={icon} size={36} />
        </span>
      )}
      <h1 className={styles.title}>{title}</h1>
      {children !== undefined && <div className={styles.body}>{children}</div>}
    </section>
  );
}

/** An error that goes away when something is tried again. */
export function ErrorLine({ message, children }: { message: string; children?: ReactNode }) {
  return (
    <div className={styles.error} role="alert">
      <Icon name="warning" />
      <span>{message}</span>
      {children}
    </div>
  );
}
