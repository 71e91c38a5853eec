/** The backend's API, as the application uses it. Times are RFC 3339 in UTC, sizes are bytes. */

export const VIDEO_STATES = ['Uploading', 'Queued', 'Transcoding', 'Ready', 'Failed', 'Cancelled'] as const;

/** States that this application knows; a newer backend may send others, which are shown as they are. */
export type VideoState = (typeof VIDEO_STATES)[number];

export interface Failure {
  /** Cause as a constant, for example `NOT_MEDIA`. */
  reason: string;
  /** One sentence for a person. */
  message: string;
}

/** Paths of what a browser needs to play a video, all below `/media/`. */
export interface Playback {
  hls: string;
  dash?: string | null;
  poster?: string | null;
  storyboard?: string | null;
}

export interface Rendition {
  name: string;
  width: number;
  height: number;
  /** Peak bit rate in bit/s. */
  bandwidth: number;
}

export interface Video {
  id: string;
  title: string;
  fileName: string;
  size: number;
  contentType: string;
  state: VideoState;
  /** Progress of the transcode, 0 to 100. */
  percent: number;
  failure?: Failure | null;
  attempt: number;
  createdAt: string;
  updatedAt: string;
  durationSeconds?: number | null;
  playback?: Playback | null;
  renditions?: Rendition[] | null;
}

export interface VideoPage {
  items: Video[];
  nextCursor?: string | null;
}

export interface NewUpload {
  /** A UUIDv7 of one's own: asked for twice, it is begun once. */
  videoId: string;
  fileName: string;
  size: number;
  contentType: string;
  title?: string;
}

/** A part that is still to be sent, and where to. */
export interface PartTarget {
  partNumber: number;
  url: string;
}

export interface Upload {
  videoId: string;
  partSize: number;
  parts: PartTarget[];
}

/** A part as multipart uploads name it when they are completed. */
export interface SentPart {
  partNumber: number;
  etag: string;
}

/** An upload that was begun before: what arrived, and fresh addresses for the rest. */
export interface UploadStatus extends Upload {
  uploadedParts: SentPart[];
}

/** RFC 9457. */
export interface Problem {
  title?: string;
  status?: number;
  detail?: string;
  errors?: { field: string; message: string }[];
}
