/** Light, dark, or as the system has it; and the colours of the style sheet as a canvas wants them. */

import { byId, setText } from './dom.ts';

const CHOICES = ['auto', 'light', 'dark'] as const;
type Choice = (typeof CHOICES)[number];
const KEY = 'plainsight-theme';

/** `changed` is called whenever colours are others than before. */
export function startTheme(changed: () => void): void {
  const button = byId('theme', HTMLButtonElement);
  let choice: Choice = CHOICES.find((known) => known === read()) ?? 'auto';
  const apply = () => {
    if (choice === 'auto') document.documentElement.removeAttribute('data-theme');
    else document.documentElement.setAttribute('data-theme', choice);
    setText(button, `Theme: ${choice}`);
    changed();
  };
  button.addEventListener('click', () => {
    choice = CHOICES[(CHOICES.indexOf(choice) + 1) % CHOICES.length]!;
    write(choice);
    apply();
  });
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', changed);
  apply();
}

/** The value of a colour variable, with light-dark() resolved. */
export function color(name: string): string {
  const probe = document.createElement('span');
  probe.style.color = `var(--${name})`;
  document.body.append(probe);
  const value = getComputedStyle(probe).color;
  probe.remove();
  return value;
}

// A browser may forbid storage; then the choice lasts as long as the page.
function read(): string | null {
  try {
    return localStorage.getItem(KEY);
  } catch {
    return null;
  }
}

function write(choice: Choice): void {
  try {
    localStorage.setItem(KEY, choice);
  } catch {}
}
