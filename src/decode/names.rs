//! Names of containers and codecs, in the spelling that users of audio tools know, for what can be decoded and for what
//! cannot.

use symphonia::core::codecs::audio::{AudioCodecId, well_known as id};

/// Short name of a codec that a demultiplexer found.
pub(super) fn codec(codec: AudioCodecId) -> String {
    const NAMES: [(AudioCodecId, &str); 58] = [
        (id::CODEC_ID_PCM_S32LE, "pcm_s32le"),
        (id::CODEC_ID_PCM_S32BE, "pcm_s32be"),
        (id::CODEC_ID_PCM_S24LE, "pcm_s24le"),
        (id::CODEC_ID_PCM_S24BE, "pcm_s24be"),
        (id::CODEC_ID_PCM_S16LE, "pcm_s16le"),
        (id::CODEC_ID_PCM_S16BE, "pcm_s16be"),
        (id::CODEC_ID_PCM_S8, "pcm_s8"),
        (id::CODEC_ID_PCM_U32LE, "pcm_u32le"),
        (id::CODEC_ID_PCM_U32BE, "pcm_u32be"),
        (id::CODEC_ID_PCM_U24LE, "pcm_u24le"),
        (id::CODEC_ID_PCM_U24BE, "pcm_u24be"),
        (id::CODEC_ID_PCM_U16LE, "pcm_u16le"),
        (id::CODEC_ID_PCM_U16BE, "pcm_u16be"),
        (id::CODEC_ID_PCM_U8, "pcm_u8"),
        (id::CODEC_ID_PCM_F32LE, "pcm_f32le"),
        (id::CODEC_ID_PCM_F32BE, "pcm_f32be"),
        (id::CODEC_ID_PCM_F64LE, "pcm_f64le"),
        (id::CODEC_ID_PCM_F64BE, "pcm_f64be"),
        (id::CODEC_ID_PCM_ALAW, "pcm_alaw"),
        (id::CODEC_ID_PCM_MULAW, "pcm_mulaw"),
        (id::CODEC_ID_ADPCM_G722, "g722"),
        (id::CODEC_ID_ADPCM_G726, "g726"),
        (id::CODEC_ID_ADPCM_G726LE, "g726le"),
        (id::CODEC_ID_ADPCM_MS, "adpcm_ms"),
        (id::CODEC_ID_ADPCM_IMA_WAV, "adpcm_ima_wav"),
        (id::CODEC_ID_ADPCM_IMA_QT, "adpcm_ima_qt"),
        (id::CODEC_ID_VORBIS, "vorbis"),
        (id::CODEC_ID_OPUS, "opus"),
        (id::CODEC_ID_SPEEX, "speex"),
        (id::CODEC_ID_MUSEPACK, "musepack"),
        (id::CODEC_ID_MP1, "mp1"),
        (id::CODEC_ID_MP2, "mp2"),
        (id::CODEC_ID_MP3, "mp3"),
        (id::CODEC_ID_AAC, "aac"),
        (id::CODEC_ID_AC3, "ac3"),
        (id::CODEC_ID_EAC3, "eac3"),
        (id::CODEC_ID_AC4, "ac4"),
        (id::CODEC_ID_DCA, "dts"),
        (id::CODEC_ID_ATRAC1, "atrac1"),
        (id::CODEC_ID_ATRAC3, "atrac3"),
        (id::CODEC_ID_ATRAC3PLUS, "atrac3p"),
        (id::CODEC_ID_ATRAC9, "atrac9"),
        (id::CODEC_ID_WMA, "wma"),
        (id::CODEC_ID_RA10, "ra_144"),
        (id::CODEC_ID_RA20, "ra_288"),
        (id::CODEC_ID_SIPR, "sipr"),
        (id::CODEC_ID_COOK, "cook"),
        (id::CODEC_ID_SBC, "sbc"),
        (id::CODEC_ID_APTX, "aptx"),
        (id::CODEC_ID_APTX_HD, "aptx_hd"),
        (id::CODEC_ID_LDAC, "ldac"),
        (id::CODEC_ID_FLAC, "flac"),
        (id::CODEC_ID_WAVPACK, "wavpack"),
        (id::CODEC_ID_MONKEYS_AUDIO, "ape"),
        (id::CODEC_ID_ALAC, "alac"),
        (id::CODEC_ID_TTA, "tta"),
        (id::CODEC_ID_RALF, "ralf"),
        (id::CODEC_ID_TRUEHD, "truehd"),
    ];
    NAMES.iter().find(|(known, _)| *known == codec).map_or_else(|| codec.to_string(), |(_, name)| (*name).to_owned())
}

/// Short name of a container that the probe found.
pub(super) fn container(short_name: &str) -> &str {
    match short_name {
        "wave" => "wav",
        "isomp4" => "mp4",
        "aac" => "adts",
        other => other,
    }
}

/// Short name of a WAV format tag, also used in ASF (registered in RFC 2361 and Microsoft's mmreg.h).
pub(super) fn wav_tag(tag: u16) -> String {
    let name = match tag {
        0x0001 => "pcm",
        0x0002 => "adpcm_ms",
        0x0003 => "pcm_float",
        0x0006 => "pcm_alaw",
        0x0007 => "pcm_mulaw",
        0x000A => "wmavoice",
        0x0011 => "adpcm_ima_wav",
        0x0022 => "truespeech",
        0x0031 => "gsm",
        0x0014 | 0x0040 | 0x0045 | 0x0064 => "g726",
        0x0042 => "g723_1",
        0x0050 => "mp2",
        0x0055 => "mp3",
        0x0057 => "amr_nb",
        0x0058 => "amr_wb",
        0x0065 | 0x028F => "g722",
        0x0083 | 0x0133 | 0xA122 => "g729",
        0x00FF | 0x1600 | 0x1610 => "aac",
        0x0130 => "sipr",
        0x0160 => "wmav1",
        0x0161 => "wmav2",
        0x0162 => "wmapro",
        0x0163 => "wmalossless",
        0x0092 | 0x2000 => "ac3",
        0x2001 => "dts",
        0x704F => "opus",
        0xA109 => "speex",
        0xF1AC => "flac",
        _ => return format!("wav_0x{tag:04x}"),
    };
    name.to_owned()
}

/// Short name of a sample entry of MP4, MOV or 3GP, by its four-character code (registered at mp4ra.org).
pub(super) fn mp4_sample_entry(code: [u8; 4]) -> String {
    let name = match &code {
        b"samr" => "amr_nb",
        b"sawb" | b"sawp" => "amr_wb",
        b"ac-3" => "ac3",
        b"ec-3" => "eac3",
        b"ac-4" => "ac4",
        b"dtsc" | b"dtsh" | b"dtsl" | b"dtse" => "dts",
        b"sevc" => "evrc",
        b"sqcp" => "qcelp",
        b"ssmv" => "smv",
        b"QDM2" => "qdm2",
        b"ima4" => "adpcm_ima_qt",
        b"agsm" => "gsm",
        b"mlpa" => "truehd",
        b"enca" => "encrypted",
        b"mp4a" => "aac",
        b"ulaw" => "pcm_mulaw",
        b"alaw" => "pcm_alaw",
        _ => return code.escape_ascii().to_string().trim().to_ascii_lowercase(),
    };
    name.to_owned()
}
