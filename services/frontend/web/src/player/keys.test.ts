import { expect, it } from 'vitest';
import { commandFor, KEY_HELP } from './keys';

const press = (key: string, modifiers = {}) =>
  commandFor({ key, ctrlKey: false, metaKey: false, altKey: false, ...modifiers });

it.each([
  [' ', { type: 'togglePlay' }],
  ['K', { type: 'togglePlay' }],
  ['j', { type: 'seekBy', seconds: -10 }],
  ['ArrowRight', { type: 'seekBy', seconds: 5 }],
  ['7', { type: 'seekTo', share: 0.7 }],
  ['?', { type: 'help' }],
])('%j does what the help says', (key, command) => expect(press(key)).toEqual(command));

it.each(['a', 'Enter', 'Tab', 'F5', 'constructor'])('%s is left to the browser', (key) => {
  expect(press(key)).toBeUndefined();
});

it('leaves shortcuts of browser and system alone', () => {
  expect(press('f', { ctrlKey: true })).toBeUndefined();
  expect(press('l', { metaKey: true })).toBeUndefined();
  expect(press('ArrowLeft', { altKey: true })).toBeUndefined();
});

it('explains every letter that it takes', () => {
  const help = KEY_HELP.map(([keys]) => keys).join(' ');
  for (const letter of 'KJLMFIC') expect(help).toContain(letter);
});
