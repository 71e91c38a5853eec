/** Icons of 24 units, drawn in the text's colour. */

const PATHS = {
  play: 'M8 5.3v13.4c0 .8.9 1.3 1.5.8l10-6.7c.6-.4.6-1.2 0-1.6l-10-6.7c-.6-.5-1.5 0-1.5.8z',
  pause: 'M7 5h3.2v14H7zM13.8 5H17v14h-3.2z',
  replay: 'M12 5V1.8L7.2 6 12 10.2V7a5.5 5.5 0 1 1-5.5 5.5h-2A7.5 7.5 0 1 0 12 5z',
  volume: 'M4 9v6h3.6L13 19.4V4.6L7.6 9H4zm11.2-.9v7.8a4.4 4.4 0 0 0 0-7.8zm0-4.3v2.1a6.6 6.6 0 0 1 0 12.2v2.1a8.6 8.6 0 0 0 0-16.4z',
  muted: 'M4 9v6h3.6L13 19.4V4.6L7.6 9H4zm17.3.9-1.4-1.4-2.1 2.1-2.1-2.1-1.4 1.4 2.1 2.1-2.1 2.1 1.4 1.4 2.1-2.1 2.1 2.1 1.4-1.4-2.1-2.1z',
  captions: 'M5 5h14a2 2 0 0 1 2 2v10a2 2 0 0 1-2 2H5a2 2 0 0 1-2-2V7c0-1.1.9-2 2-2zm5.5 5.5a2.5 2.5 0 1 0 0 3l-1.2-.9a1 1 0 1 1 0-1.2zm6.5 0a2.5 2.5 0 1 0 0 3l-1.2-.9a1 1 0 1 1 0-1.2z',
  pictureInPicture: 'M4 5h16a1.5 1.5 0 0 1 1.5 1.5v11A1.5 1.5 0 0 1 20 19H4a1.5 1.5 0 0 1-1.5-1.5v-11A1.5 1.5 0 0 1 4 5zm.5 2v10h15V7zm7.5 5h6v3.6h-6z',
  fullscreen: 'M4 4h6v2H6v4H4zm10 0h6v6h-2V6h-4zM4 14h2v4h4v2H4zm14 0h2v6h-6v-2h4z',
  exitFullscreen: 'M8 4h2v6H4V8h4zm6 0h2v4h4v2h-6zM4 14h6v6H8v-4H4zm10 0h6v2h-4v4h-2z',
  upload: 'M11 16V7.8L7.9 10.9 6.5 9.5 12 4l5.5 5.5-1.4 1.4L13 7.8V16zM4 18h16v2H4z',
  library: 'M3.5 5h7v6.5h-7zM13.5 5h7v6.5h-7zM3.5 13.5h7V20h-7zM13.5 13.5h7V20h-7z',
  close: 'M6.4 5 12 10.6 17.6 5 19 6.4 13.4 12l5.6 5.6-1.4 1.4-5.6-5.6L6.4 19 5 17.6l5.6-5.6L5 6.4z',
  back: 'M14.5 5.5 16 7l-5 5 5 5-1.5 1.5L8 12z',
  check: 'M9.5 16.2 5.3 12l-1.4 1.4 5.6 5.6L20.6 7.9 19.2 6.5z',
  warning: 'M12 3.5 1.8 20.5h20.4zm0 4.1 6.6 10.9H5.4zM11 11h2v4h-2zm0 5h2v1.8h-2z',
  trash: 'M9 3.5h6l1 1.5h4v2H4V5h4zM6 8.5h12l-.8 12H6.8zm2.1 2 .5 8h6.8l.5-8z',
  film: 'M4 5h16v14H4zm2 2v1.8h2V7zm10 0v1.8h2V7zM6 11.1v1.8h2v-1.8zm10 0v1.8h2v-1.8zM6 15.2V17h2v-1.8zm10 0V17h2v-1.8zM10 7v10h4V7z',
  help: 'M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18zm0 2a7 7 0 1 1 0 14 7 7 0 0 1 0-14zm-1 10.2h2V17h-2zm1-8.4c-1.9 0-3.2 1.2-3.3 3h1.9c.1-.8.6-1.3 1.4-1.3s1.4.5 1.4 1.2c0 .6-.3.9-1.1 1.4-.9.6-1.3 1.2-1.2 2.3v.6h1.8v-.4c0-.7.2-1 1.1-1.5.9-.6 1.4-1.3 1.4-2.4 0-1.7-1.4-2.9-3.4-2.9z',
} as const;

export type IconName = keyof typeof PATHS;

export function Icon({ name, size = 20 }: { name: IconName; size?: number }) {
  return (
    <svg viewBox="0 0 24 24" width={size} height={size} fill="currentColor" fillRule="evenodd" aria-hidden="true">
      <path d={PATHS[name]} />
    </svg>
  );
}
