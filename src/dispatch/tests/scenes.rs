//! Scenes: one situation each, and the step that follows.
