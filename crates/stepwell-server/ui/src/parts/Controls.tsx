// Controls that many views share: icons, buttons, menus, dialogs, notices.
import type { ComponentChildren } from 'preact';
import { useEffect, useId, useRef, useState } from 'preact/hooks';

const ICONS: Record<string, string> = {
  eye: 'M1.5 8s2.4-4.5 6.5-4.5S14.5 8 14.5 8 12.1 12.5 8 12.5 1.5 8 1.5 8zM8 10a2 2 0 1 0 0-4 2 2 0 0 0 0 4z',
  hidden: 'M2 2l12 12M6.2 3.7A6.6 6.6 0 0 1 8 3.5c4.1 0 6.5 4.5 6.5 4.5a12 12 0 0 1-2 2.5M4 5a11 11 0 0 0-2.5 3S3.9 12.5 8 12.5c1 0 2-.3 2.8-.7',
  pin: 'M9.5 2l4.5 4.5-2.2.7-2.6 2.6-.4 2.9-5-5 2.9-.4 2.6-2.6zM5.2 10.8L2 14',
  up: 'M4 10l4-4 4 4',
  down: 'M4 6l4 4 4-4',
  right: 'M6 4l4 4-4 4',
  left: 'M10 4L6 8l4 4',
  close: 'M4 4l8 8M12 4l-8 8',
  large: 'M9.5 2.5h4v4M13.5 2.5l-5 5M6.5 13.5h-4v-4M2.5 13.5l5-5',
  more: 'M3.5 8h.01M8 8h.01M12.5 8h.01',
  plus: 'M8 3v10M3 8h10',
  sun: 'M8 11a3 3 0 1 0 0-6 3 3 0 0 0 0 6zM8 1v1.5M8 13.5V15M1 8h1.5M13.5 8H15M3 3l1 1M12 12l1 1M3 13l1-1M12 4l1-1',
  moon: 'M13.5 9.5A6 6 0 0 1 6.5 2.5a6 6 0 1 0 7 7z',
  search: 'M7 12A5 5 0 1 0 7 2a5 5 0 0 0 0 10zM10.7 10.7L14 14',
  columns: 'M2.5 3h11v10h-11zM6.2 3v10M9.8 3v10',
  group: 'M2.5 4h11M5 8h8.5M5 12h8.5',
  link: 'M6.5 9.5l3-3M7 4.5l1.5-1.5a3 3 0 0 1 4.5 4.5L11.5 9M9 11.5L7.5 13A3 3 0 0 1 3 8.5L4.5 7',
  check: 'M3 8.5l3.5 3.5L13 4.5',
  edit: 'M3 13l.7-3L11 2.7 13.3 5 6 12.3z',
  bin: 'M3 4.5h10M6.5 4.5V3h3v1.5M4.5 4.5l.5 9h6l.5-9',
  folder: 'M2 4h4l1.5 1.5H14V13H2z',
  file: 'M4 2h5l3 3v9H4zM9 2v3h3',
};

export function Icon({ name, size = 16 }: { name: string; size?: number }) {
  return (
    <svg class="icon" width={size} height={size} viewBox="0 0 16 16" aria-hidden="true">
      <path d={ICONS[name] ?? ''} />
    </svg>
  );
}

interface ButtonProps {
  icon?: string;
  label: string;
  /** Shown beside the icon; otherwise the label is told to screen readers and as a hint. */
  text?: boolean;
  kind?: 'plain' | 'main' | 'danger';
  pressed?: boolean;
  disabled?: boolean;
  onClick: (event: MouseEvent) => void;
}

export function Button({ icon, label, text = false, kind = 'plain', pressed, disabled, onClick }: ButtonProps) {
  return (
    <button type="button" class={`button ${kind} ${text ? '' : 'only'}`} title={text ? undefined : label}
      aria-label={text ? undefined : label} aria-pressed={pressed} disabled={disabled} onClick={onClick}>
      {icon && <Icon name={icon} />}
      {text && <span>{label}</span>}
    </button>
  );
}

/** A button that opens a small box; it closes on Escape and when something else is clicked. */
export function Menu({ label, icon, text = true, align = 'left', children, onOpen }: {
  label: string;
  icon?: string;
  text?: boolean;
  align?: 'left' | 'right';
  children: (close: () => void) => ComponentChildren;
  onOpen?: () => void;
}) {
  const [open, set] = useState(false);
  const box = useRef<HTMLDivElement>(null);
  const id = useId();
  useEffect(() => {
    if (!open) return;
    const away = (event: Event) => box.current?.contains(event.target as Node) || set(false);
    const key = (event: KeyboardEvent) => {
      if (event.key !== 'Escape') return;
      set(false);
      box.current?.querySelector('button')?.focus();
    };
    document.addEventListener('pointerdown', away);
    document.addEventListener('keydown', key);
    const first = box.current?.querySelector<HTMLElement>('.menu-box input, .menu-box button');
    first?.focus();
    return () => {
      document.removeEventListener('pointerdown', away);
      document.removeEventListener('keydown', key);
    };
  }, [open]);
  return (
    <div class="menu" ref={box}>
      <button type="button" class={`button plain ${text ? '' : 'only'}`} aria-expanded={open} aria-controls={id}
        title={text ? undefined : label} aria-label={text ? undefined : label}
        onClick={() => { if (!open) onOpen?.(); set(!open); }}>
        {icon && <Icon name={icon} />}
        {text && <span>{label}</span>}
        {text && <Icon name="down" size={12} />}
      </button>
      {open && <div class={`menu-box ${align}`} id={id}>{children(() => set(false))}</div>}
    </div>
  );
}

export function Dialog({ title, onClose, wide = false, children }: {
  title: string;
  onClose: () => void;
  wide?: boolean;
  children: ComponentChildren;
}) {
  const ref = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    const dialog = ref.current;
    if (dialog && !dialog.open) dialog.showModal();
    return () => dialog?.close();
  }, []);
  return (
    <dialog ref={ref} class={wide ? 'wide' : ''} aria-label={title} onCancel={(event) => { event.preventDefault(); onClose(); }}
      onClick={(event) => { if (event.target === ref.current) onClose(); }}>
      <div class="dialog-head">
        <h2>{title}</h2>
        <Button icon="close" label="Close" onClick={onClose} />
      </div>
      <div class="dialog-body">{children}</div>
    </dialog>
  );
}

/** What went wrong, in words, and what to do. */
export function Trouble({ error, again }: { error: Error; again?: () => void }) {
  return (
    <div class="trouble" role="alert">
      <strong>{error.message}</strong>
      {again && <Button label="Try again" text onClick={again} />}
    </div>
  );
}

/** What stands where there is nothing yet. */
export function Empty({ title, children }: { title: string; children?: ComponentChildren }) {
  return <div class="empty"><h2>{title}</h2>{children}</div>;
}

/** A command to type, which a click copies. */
export function Command({ children }: { children: string }) {
  return <pre class="command"><code>{children}</code></pre>;
}

const STATUS: Record<string, [string, string]> = {
  RUNNING: ['running', 'Running'],
  SCHEDULED: ['scheduled', 'Scheduled'],
  FINISHED: ['finished', 'Finished'],
  FAILED: ['failed', 'Failed'],
  KILLED: ['killed', 'Killed'],
};

export function Status({ of }: { of: string }) {
  const [kind, word] = STATUS[of] ?? ['', of];
  return <span class={`status ${kind}`}><i aria-hidden="true" />{word}</span>;
}

/** Text that becomes a field when it is clicked. */
export function Editable({ value, label, many = false, empty, save }: {
  value: string;
  label: string;
  many?: boolean;
  empty: string;
  save: (value: string) => Promise<void>;
}) {
  const [draft, set] = useState<string | null>(null);
  const [error, fail] = useState('');
  const done = async () => {
    if (draft === null) return;
    try {
      if (draft !== value) await save(draft);
      set(null);
      fail('');
    } catch (error) {
      fail((error as Error).message);
    }
  };
  if (draft === null) {
    return (
      <button type="button" class={`editable ${many ? 'many' : ''} ${value ? '' : 'blank'}`} title={`Edit ${label}`}
        aria-label={`Edit ${label}: ${value || empty}`} onClick={() => set(value)}>
        {value || empty}<Icon name="edit" size={13} />
      </button>
    );
  }
  const keys = (event: KeyboardEvent) => {
    if (event.key === 'Escape') { event.stopPropagation(); set(null); fail(''); }
    if (event.key === 'Enter' && (!many || event.ctrlKey || event.metaKey)) void done();
  };
  const input = { value: draft, 'aria-label': label, autoFocus: true, onKeyDown: keys,
    ref: (element: HTMLElement | null) => element?.focus() };
  return (
    <span class="editing">
      {many ? <textarea {...input} rows={6} onInput={(event) => set(event.currentTarget.value)} />
        : <input {...input} onInput={(event) => set(event.currentTarget.value)} />}
      <Button label="Save" text kind="main" onClick={() => void done()} />
      <Button label="Cancel" text onClick={() => { set(null); fail(''); }} />
      {error && <span class="mistake" role="alert">{error}</span>}
    </span>
  );
}
