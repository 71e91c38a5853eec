import { type KeyboardEvent, type ReactNode, useEffect, useId, useRef, useState } from 'react';
import { Icon } from '../components/Icon';
import styles from './Menu.module.css';

export interface MenuChoice {
  label: string;
  chosen: boolean;
  choose: () => void;
}

interface MenuProps {
  label: string;
  /** What the button shows. */
  children: ReactNode;
  choices: MenuChoice[];
  opened: (open: boolean) => void;
}

/** A button with a list to choose one from, by pointer or by arrow keys. */
export function Menu({ label, children, choices, opened }: MenuProps) {
  const [open, setOpen] = useState(false);
  const root = useRef<HTMLDivElement>(null);
  const list = useRef<HTMLDivElement>(null);
  const button = useRef<HTMLButtonElement>(null);
  const id = useId();

  const show = (next: boolean) => {
    setOpen(next);
    opened(next);
    if (!next) button.current?.focus();
  };
  useEffect(() => {
    if (!open) return;
    list.current?.querySelector<HTMLElement>('[aria-checked="true"]')?.focus();
    const outside = (event: PointerEvent) => {
      if (event.target instanceof Node && root.current?.contains(event.target)) return;
      setOpen(false);
      opened(false);
    };
    document.addEventListener('pointerdown', outside);
    return () => document.removeEventListener('pointerdown', outside);
  }, [open, opened]);

  const move = (event: KeyboardEvent) => {
    const items = [...(list.current?.querySelectorAll<HTMLElement>('[role="menuitemradio"]') ?? [])];
    const at = items.findIndex((item) => item === document.activeElement);
    const targets: Partial<Record<string, number>> = {
      ArrowDown: (at + 1) % items.length,
      ArrowUp: (at - 1 + items.length) % items.length,
      Home: 0,
      End: items.length - 1,
    };
    const target = targets[event.key];
    if (target !== undefined) items[target]?.focus();
    else if (event.key === 'Escape') show(false);
    else if (event.key === 'Tab') show(false);
    else if (event.key !== 'Enter' && event.key !== ' ') return;
    // The player's own keys are not for an open menu.
    event.stopPropagation();
    if (event.key !== 'Enter' && event.key !== ' ') event.preventDefault();
  };

  return (
    <div ref={root} className={styles.menu}>
      <button
        ref={button}
        type="button"
        className={styles.button}
        aria-haspopup="menu"
        aria-expanded={open}
        aria-controls={id}
        aria-label={label}
        title={label}
        onClick={() => show(!open)}
      >
        {children}
      </button>
      {open && (
        <div ref={list} id={id} className={styles.list} role="menu" aria-label={label} onKeyDown={move}>
          {choices.map((choice, index) => (
            // Labels change while the menu is open (“Auto (480p)”), and the focus must stay.
            <button
              key={index}
              type="button"
              role="menuitemradio"
              aria-checked={choice.chosen}
              tabIndex={-1}
              className={styles.item}
              onClick={() => {
                choice.choose();
                show(false);
              }}
            >
              <span className={styles.check}>{choice.chosen && <Icon name="check" size={16} />}</span>
              {choice.label}
            </button>
          ))}
        </div>
      )}
    </div>
  );
}
