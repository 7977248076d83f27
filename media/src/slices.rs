//! Whether a packet of H.264 holds one picture and no more. Decoders differ in what they show of others: FFmpeg leaves a
//! second picture of a packet out without a word, and so nobody would have looked at it.

use h264_reader::{
    Context,
    nal::{Nal, RefNal, pps::PicParameterSet, slice::SliceHeader, sps::SeqParameterSet},
};

use crate::h264::{AvcConfig, exp_golomb, is_slice, units};

/// The parameter sets of a track, by which its slices are read.
#[derive(Debug)]
pub(crate) struct Slices(Context);

impl Slices {
    /// `None` where they cannot be read, or allow for redundant pictures, of which decoders show what they like.
    pub(crate) fn of(config: &AvcConfig) -> Option<Self> {
        let mut context = Context::new();
        for set in &config.sps {
            context.put_seq_param_set(SeqParameterSet::from_bits(whole(set)?.rbsp_bits()).ok()?);
        }
        for set in &config.pps {
            let set = PicParameterSet::from_bits(&context, whole(set)?.rbsp_bits()).ok()?;
            if set.redundant_pic_cnt_present_flag {
                return None;
            }
            context.put_pic_param_set(set);
        }
        Some(Self(context))
    }

    /// Whether the slices of a packet are those of one picture, from its beginning on and in order; not where they
    /// cannot be read.
    pub(crate) fn are_one_picture(&self, packet: &[u8]) -> bool {
        let slices: Vec<&[u8]> = units(packet).filter(|unit| is_slice(unit)).collect();
        match slices.as_slice() {
            [] => false,
            // The number of the macroblock that it begins with.
            [slice] => slice.get(1..).and_then(exp_golomb) == Some(0),
            slices => self.are_of_one_picture(slices).unwrap_or(false),
        }
    }

    fn are_of_one_picture(&self, slices: &[&[u8]]) -> Option<bool> {
        let mut before: Option<(u8, SliceHeader, u8)> = None;
        for slice in slices {
            let unit = whole(slice)?;
            let bits = &mut unit.rbsp_bits();
            let (header, _, set) =
                SliceHeader::from_bits(&self.0, bits, unit.header().ok()?, None).ok()?;
            let (kind, set) = (*slice.first()?, set.pic_parameter_set_id.id());
            // What begins another picture: ITU-T H.264, 7.4.1.2.4.
            let goes_on = match &before {
                None => header.first_mb_in_slice == 0,
                Some((kind_before, before, set_before)) => {
                    kind == *kind_before
                        && set == *set_before
                        && header.first_mb_in_slice > before.first_mb_in_slice
                        && header.frame_num == before.frame_num
                        && header.field_pic == before.field_pic
                        && header.idr_pic_id == before.idr_pic_id
                        && header.pic_order_cnt_lsb == before.pic_order_cnt_lsb
                }
            };
            if !goes_on {
                return Some(false);
            }
            before = Some((kind, header, set));
        }
        Some(true)
    }
}

fn whole(unit: &[u8]) -> Option<RefNal<'_>> {
    (!unit.is_empty()).then(|| RefNal::new(unit, &[], true))
}
