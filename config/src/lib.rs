//! Loading, layering and checking configuration and platform presets.
