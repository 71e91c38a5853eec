/** What each cause of failure means for a person, and what to do about it. */

export interface Advice {
  title: string;
  advice: string;
  /** Whether transcoding the same file again can help. */
  retryHelps: boolean;
}

const ADVICE: Record<string, Advice> = {
  NOT_MEDIA: {
    title: 'This file is not a video or audio file',
    advice:
      'It may be empty, a document or a picture, or its name may have the wrong ending. Open it in a player on your computer; if it plays there, export it again as MP4 and upload that.',
    retryHelps: false,
  },
  TRUNCATED: {
    title: 'This file is cut off or damaged',
    advice:
      'Its end is missing or parts of it can’t be read. Copy or export it again from where it came from, check that it plays to the end, and upload that.',
    retryHelps: false,
  },
  RESOLUTION_LIMIT: {
    title: 'The picture is larger than allowed',
    advice: 'Scale the video down, to 4K for example, and upload the smaller one. The limit is part of the platform’s profile.',
    retryHelps: false,
  },
  DURATION_LIMIT: {
    title: 'The video is longer than allowed',
    advice:
      'Cut it into parts and upload those. If it is shorter than that, its time stamps are wrong: export it again, and upload that. The limit is part of the platform’s profile.',
    retryHelps: false,
  },
  SOURCE_NOT_FOUND: {
    title: 'The uploaded file is gone',
    advice: 'It was deleted or replaced before its turn came. Upload it again.',
    retryHelps: false,
  },
  INVALID_REQUEST: {
    title: 'The request can’t be carried out',
    advice: 'The settings of the transcode are wrong. Show the message to whoever runs the platform; transcode again when it is mended.',
    retryHelps: true,
  },
  INVALID_MESSAGE: {
    title: 'The order on the queue can’t be understood',
    advice: 'Nothing is wrong with your file. Transcode it again; if that fails too, tell whoever runs the platform.',
    retryHelps: true,
  },
  STORAGE: {
    title: 'Storage could not be reached',
    advice: 'Nothing is wrong with your file. Wait a little and transcode it again.',
    retryHelps: true,
  },
  ENCODER: {
    title: 'The encoder failed',
    advice: 'Transcode it again. If it fails at the same place, export the file with other settings and upload that.',
    retryHelps: true,
  },
  DISK_FULL: {
    title: 'There was not enough disk space',
    advice: 'The video needs more scratch space than a transcoding Job gets. Ask whoever runs the platform to raise it, then transcode again.',
    retryHelps: true,
  },
  SCRATCH_DISK: {
    title: 'The disk for transcoding can’t be used',
    advice: 'Nothing is wrong with your file. Tell whoever runs the platform, then transcode it again.',
    retryHelps: true,
  },
  OUTPUT_INCOMPLETE: {
    title: 'The finished video can’t be read',
    advice: 'Nothing is wrong with your file. Transcode it again; if that fails too, tell whoever runs the platform.',
    retryHelps: true,
  },
  OUT_OF_MEMORY: {
    title: 'There was not enough memory',
    advice: 'The video needs more memory than a transcoding Job gets. Ask whoever runs the platform to raise its limit, then transcode again.',
    retryHelps: true,
  },
  DEADLINE_EXCEEDED: {
    title: 'It took too long',
    advice: 'Transcoding did not end within its deadline. Ask whoever runs the platform to raise it, or upload a shorter video.',
    retryHelps: true,
  },
  INTERRUPTED: {
    title: 'Transcoding was interrupted',
    advice: 'Nothing is wrong with your file. Transcode it again.',
    retryHelps: true,
  },
  JOB_DELETED: {
    title: 'Somebody deleted the transcoding Job',
    advice: 'Nothing is wrong with your file. Transcode it again.',
    retryHelps: true,
  },
  CANNOT_START: {
    title: 'Transcoding could not start',
    advice: 'The transcoder’s image or its configuration is at fault, not your file. Tell whoever runs the platform, then transcode again.',
    retryHelps: true,
  },
  CANCELLED: {
    title: 'Transcoding was cancelled',
    advice: 'Transcode it again when you want it after all.',
    retryHelps: true,
  },
  UNKNOWN: {
    title: 'Transcoding failed without saying why',
    advice: 'Transcode it again. If that fails too, tell whoever runs the platform: the Job’s log may know more.',
    retryHelps: true,
  },
};

/** A cause that this application has no words for: an image of one’s own may have its own causes. */
const OTHER: Advice = {
  title: 'Transcoding failed',
  advice: 'The transcoder’s own message says what it found. Transcode again, or show the message to whoever runs the platform.',
  retryHelps: true,
};

export function adviceFor(reason: string): Advice {
  return Object.hasOwn(ADVICE, reason) ? (ADVICE[reason] ?? OTHER) : OTHER;
}

export const KNOWN_REASONS = Object.keys(ADVICE);
