-- A video and where its source is. `state` follows from the other columns and from `transcodes`
-- (catalog::Video::state computes it); it is stored so that lists can be filtered by it.
CREATE TABLE videos (
    id                uuid PRIMARY KEY,
    state             text NOT NULL
        CHECK (state IN ('Uploading', 'Queued', 'Transcoding', 'Ready', 'Failed', 'Cancelled')),
    title             text NOT NULL CHECK (char_length(title) BETWEEN 1 AND 255),
    file_name         text NOT NULL CHECK (char_length(file_name) BETWEEN 1 AND 255),
    size              bigint NOT NULL CHECK (size >= 0),
    content_type      text NOT NULL,
    bucket            text NOT NULL,
    key               text NOT NULL,
    version_id        text,
    upload_id         text,
    part_size         bigint CHECK (part_size > 0),
    upload_expires_at timestamptz,
    created_at        timestamptz NOT NULL,
    updated_at        timestamptz NOT NULL,
    -- A deleted video stays as a tombstone while events of it may still arrive.
    deleted_at        timestamptz,
    erased_at         timestamptz,
    CONSTRAINT an_upload_is_whole_or_absent
        CHECK (num_nonnulls(upload_id, part_size, upload_expires_at) IN (0, 3)),
    CONSTRAINT uploading_means_an_open_upload CHECK ((state = 'Uploading') = (upload_id IS NOT NULL)),
    CONSTRAINT an_open_upload_has_no_version CHECK (upload_id IS NULL OR version_id IS NULL),
    CONSTRAINT only_deleted_videos_are_erased CHECK (erased_at IS NULL OR deleted_at IS NOT NULL),
    CONSTRAINT updated_after_created CHECK (updated_at >= created_at)
);

CREATE UNIQUE INDEX videos_source ON videos (bucket, key, coalesce(version_id, ''));
CREATE INDEX videos_by_state ON videos (state, id DESC) WHERE deleted_at IS NULL;
CREATE INDEX videos_uploads ON videos (upload_expires_at) WHERE upload_id IS NOT NULL;
CREATE INDEX videos_deleted ON videos (deleted_at) WHERE deleted_at IS NOT NULL;

-- One piece of work on a video: its first transcode, and each later one that somebody asked for.
CREATE TABLE transcodes (
    identity        text PRIMARY KEY CHECK (identity ~ '^[a-z2-7]{20}$'),
    video_id        uuid NOT NULL REFERENCES videos ON DELETE CASCADE,
    requested_at    timestamptz NOT NULL,
    attempt         integer NOT NULL CHECK (attempt >= 0),
    -- The greatest outcome of the greatest attempt; NULL until an event came.
    outcome         text CHECK (outcome IN ('Running', 'Retrying', 'DeadLettered', 'Cancelled', 'Succeeded')),
    percent         smallint NOT NULL CHECK (percent BETWEEN 0 AND 100),
    failure_reason  text,
    failure_message text,
    -- job.json of the whole output; kept when a later attempt runs, as outputs are immutable.
    record          jsonb,
    CONSTRAINT a_failure_is_whole_or_absent CHECK (num_nonnulls(failure_reason, failure_message) IN (0, 2)),
    CONSTRAINT no_failure_before_one CHECK (
        failure_reason IS NULL OR (outcome IS NOT NULL AND outcome <> 'Running')),
    CONSTRAINT failures_have_a_reason CHECK (
        outcome IS NULL OR outcome NOT IN ('Retrying', 'DeadLettered', 'Cancelled')
        OR failure_reason IS NOT NULL),
    CONSTRAINT success_has_a_record_or_a_reason CHECK (
        outcome IS NULL OR outcome <> 'Succeeded' OR num_nonnulls(record, failure_reason) = 1)
);

CREATE INDEX transcodes_of_video ON transcodes (video_id);
CREATE INDEX transcodes_running ON transcodes (requested_at) WHERE outcome = 'Running';
