//! FFmpeg: probe, cut, decode, mask, render, stitch; no network, no Kafka
