//! What happens to packets between the demuxer and all that reads them, so that those of every
//! container look alike: one frame each, with its presentation time, from the first frame that
//! can be decoded on.

use std::collections::VecDeque;

use ff::codec::Id;
use ffmpeg_next as ff;

use crate::container::Container;
use crate::display_order::DisplayOrder;
use crate::ffi::{self, PacketFilter};
use crate::hevc;
use crate::schedule::rescale;
use crate::source::rational;
use crate::{MediaError, Rational};

/// The way of a file's packets.
pub(crate) struct Intake {
    video: usize,
    codec: Id,
    /// Takes apart packets that hold two frames.
    unpack: Option<PacketFilter>,
    /// For containers without presentation times.
    order: Option<DisplayOrder>,
    /// Where the film's clock begins, in ticks of each stream.
    origins: Vec<i64>,
    beginning: Beginning,
    /// Hidden by an edit list, with no shown packet behind them yet.
    hidden: Vec<ff::Packet>,
    ready: VecDeque<ff::Packet>,
    is_finished: bool,
}

/// The frames that a film begins with may refer to frames before it, as when a broadcast is
/// recorded from its middle on. They cannot be decoded and are left out, as players do.
#[derive(Debug, Clone, Copy)]
enum Beginning {
    /// No key frame has come yet.
    Awaited,
    /// Frames displayed before this time (ticks) are left out.
    At(i64),
    /// Nothing is left out.
    Passed,
}

impl Intake {
    pub(crate) fn open(
        container: Container,
        input: &mut ff::format::context::Input,
        video: usize,
    ) -> Result<Self, MediaError> {
        let gone = || MediaError::internal("a stream has gone");
        let codec = input.stream(video).ok_or_else(gone)?.parameters().id();
        let unpack = match codec {
            // DivX and XviD put a B-frame into the packet of the frame before it.
            Id::MPEG4 => {
                let mut stream = input.stream_mut(video).ok_or_else(gone)?;
                Some(PacketFilter::open(c"mpeg4_unpack_bframes", &mut stream)?)
            }
            _ => None,
        };
        let order = match container {
            Container::Avi => Some(DisplayOrder::of(&input.stream(video).ok_or_else(gone)?)?),
            Container::Mp4 | Container::Matroska | Container::TransportStream => None,
        };
        let origins = input
            .streams()
            .map(|stream| {
                let base = rational(stream.time_base());
                let start = ffi::clock_start(input, base);
                match container {
                    // An mp4 states when its pictures begin.
                    Container::Mp4 | Container::Avi => 0,
                    // A film may begin a little late; one cut out of a broadcast, very late.
                    Container::Matroska if start > second(base) => start,
                    Container::Matroska => 0,
                    // A broadcast's clock runs since long before the recording.
                    Container::TransportStream => start,
                }
            })
            .collect();
        Ok(Self {
            video,
            codec,
            unpack,
            order,
            origins,
            beginning: Beginning::Awaited,
            hidden: Vec::new(),
            ready: VecDeque::new(),
            is_finished: false,
        })
    }

    /// The demuxer's time of a film time (ticks of stream `index`).
    pub(crate) fn to_container(&self, index: usize, pts: i64) -> i64 {
        pts.saturating_add(self.origins.get(index).copied().unwrap_or(0))
    }

    /// Where the film's clock begins on the container's, ms.
    pub(crate) fn origin_ms(&self, time_base: Rational) -> i64 {
        let origin = self.origins.get(self.video).copied().unwrap_or(0);
        rescale(origin, time_base, Rational { num: 1, den: 1000 })
    }

    /// Forgets all packets, after a seek.
    pub(crate) fn clear(&mut self) {
        self.unpack.as_mut().into_iter().for_each(PacketFilter::flush);
        self.order.as_mut().into_iter().for_each(DisplayOrder::clear);
        self.hidden.clear();
        self.ready.clear();
        self.beginning = Beginning::Passed;
        self.is_finished = false;
    }

    /// The next packet that is ready; `None` when the demuxer must be asked for one more.
    pub(crate) fn next(&mut self) -> Option<ff::Packet> {
        while let Some(packet) = self.ready.pop_front() {
            if packet.stream() != self.video || self.is_decodable(&packet) {
                return Some(packet);
            }
        }
        None
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.is_finished
    }

    /// Takes a packet of the demuxer; `None` at its end.
    pub(crate) fn take(&mut self, packet: Option<ff::Packet>) -> Result<(), MediaError> {
        let mut packet = match packet {
            Some(packet) => packet,
            None => {
                self.is_finished = true;
                self.unpack(None)?;
                self.order.as_mut().into_iter().for_each(DisplayOrder::finish);
                self.ready.extend(self.hidden.drain(..));
                self.collect();
                return Ok(());
            }
        };
        let origin = self.origins.get(packet.stream()).copied().unwrap_or(0);
        if origin != 0 {
            packet.set_pts(packet.pts().map(|pts| pts.saturating_sub(origin)));
            packet.set_dts(packet.dts().map(|dts| dts.saturating_sub(origin)));
        }
        if packet.stream() == self.video {
            self.unpack(Some(packet))?;
        } else {
            self.ready.push_back(packet);
        }
        self.collect();
        Ok(())
    }

    fn unpack(&mut self, packet: Option<ff::Packet>) -> Result<(), MediaError> {
        let Some(filter) = &mut self.unpack else {
            return packet.map_or(Ok(()), |packet| self.place(packet));
        };
        let damaged = |e| MediaError::reading("a packet", e);
        let mut packet = packet;
        filter.send(packet.as_mut()).map_err(damaged)?;
        let mut frames = Vec::new();
        while let Some(mut frame) = filter.receive().map_err(damaged)? {
            frame.set_stream(self.video);
            frames.push(frame);
        }
        frames.into_iter().try_for_each(|frame| self.place(frame))
    }

    fn place(&mut self, packet: ff::Packet) -> Result<(), MediaError> {
        match &mut self.order {
            Some(order) => order.take(packet)?,
            None => self.join(packet),
        }
        Ok(())
    }

    /// What is decoded before a key frame is displayed before it. Hidden packets that are not are
    /// left over from a stretch of the film behind which an edit list goes on elsewhere.
    fn join(&mut self, packet: ff::Packet) {
        if packet.is_key() {
            self.hidden.retain(|hidden| hidden.pts() < packet.pts());
        }
        if ffi::is_hidden(&packet) {
            self.hidden.push(packet);
        } else {
            self.ready.extend(self.hidden.drain(..));
            self.ready.push_back(packet);
        }
    }

    fn collect(&mut self) {
        while let Some(packet) = self.order.as_mut().and_then(DisplayOrder::next) {
            self.ready.push_back(packet);
        }
    }

    fn is_decodable(&mut self, packet: &ff::Packet) -> bool {
        match (self.beginning, packet.pts()) {
            (Beginning::Passed, _) => true,
            (Beginning::At(start), Some(pts)) => pts >= start,
            (Beginning::Awaited, Some(pts)) if packet.is_key() => {
                let leads_decodable =
                    self.codec == Id::HEVC && packet.data().is_some_and(hevc::is_idr);
                self.beginning =
                    if leads_decodable { Beginning::Passed } else { Beginning::At(pts) };
                true
            }
            (Beginning::Awaited, _) => false,
            (Beginning::At(_), None) => true,
        }
    }
}

fn second(time_base: Rational) -> i64 {
    rescale(1, Rational { num: 1, den: 1 }, time_base)
}
