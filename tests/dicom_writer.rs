//! Writes small scanner's files for tests: DICOM (explicit VR little endian) and NIfTI.

use std::fs;
use std::path::Path;

/// CT Image Storage.
const CT: &str = "1.2.840.10008.5.1.4.1.1.2";

/// One DICOM file. Its fields are what tests change; the rest is what every CT slice has.
#[derive(Clone)]
pub struct Dicom {
    pub patient: String,
    pub study: String,
    pub series: String,
    pub sop_class: String,
    pub modality: String,
    pub image_type: String,
    pub number: usize,
    /// Image Position (Patient), mm; none where absent.
    pub position: Option<[f64; 3]>,
    pub orientation: [f64; 6],
    pub kernel: String,
    pub syntax: String,
    /// Names the window: `centre\width`, several values allowed.
    pub window: Option<[String; 2]>,
    pub side: u16,
    /// Stored values: HU + 1024.
    pub stored: Vec<u16>,
}

/// Words that stand for what names a patient; no file that the library writes may hold one.
pub const SECRETS: [&str; 6] = ["Nemo^Captain", "QX4711", "19290313", "NAUTILUS-HOSPITAL", "1.2.3.77.", "1.2.3.78."];

impl Dicom {
    /// A slice of a series at this height; every value is −1000 HU.
    pub fn slice(series: &str, z: f64, side: u16) -> Self {
        Self {
            patient: format!("QX4711-{series}"),
            study: format!("1.2.3.77.{}", number_of(series)),
            series: format!("1.2.3.78.{}", number_of(series)),
            sop_class: CT.to_owned(),
            modality: "CT".to_owned(),
            image_type: "ORIGINAL\\PRIMARY\\AXIAL".to_owned(),
            number: 1,
            position: Some([-100.0, -100.0, z]),
            orientation: [1.0, 0.0, 0.0, 0.0, 1.0, 0.0],
            kernel: "B70f".to_owned(),
            syntax: "1.2.840.10008.1.2.1".to_owned(),
            window: None,
            side,
            stored: vec![24; usize::from(side) * usize::from(side)],
        }
    }

    /// The same with these values in Hounsfield units.
    pub fn showing(mut self, values: impl Iterator<Item = i32>) -> Self {
        self.stored = values.map(|value| (value + 1024).clamp(0, 65535) as u16).collect();
        self
    }

    pub fn bytes(&self) -> Vec<u8> {
        let text = |values: &[f64]| values.iter().map(|v| format!("{v}")).collect::<Vec<_>>().join("\\");
        let mut set = Vec::new();
        let mut add = |tag: (u16, u16), vr: &[u8; 2], value: &[u8]| element(&mut set, tag, vr, value);
        add((0x0008, 0x0008), b"CS", self.image_type.as_bytes());
        add((0x0008, 0x0016), b"UI", self.sop_class.as_bytes());
        let instance = format!("{}.{}.{}", self.series, self.number, self.kernel.len());
        add((0x0008, 0x0018), b"UI", instance.as_bytes());
        add((0x0008, 0x0020), b"DA", SECRETS[2].as_bytes());
        add((0x0008, 0x0060), b"CS", self.modality.as_bytes());
        add((0x0008, 0x0070), b"LO", b"Tester");
        add((0x0008, 0x0080), b"LO", SECRETS[3].as_bytes());
        add((0x0008, 0x103e), b"LO", SECRETS[0].as_bytes());
        add((0x0010, 0x0010), b"PN", SECRETS[0].as_bytes());
        add((0x0010, 0x0020), b"LO", self.patient.as_bytes());
        add((0x0010, 0x0030), b"DA", SECRETS[2].as_bytes());
        add((0x0018, 0x0050), b"DS", b"2.5");
        add((0x0018, 0x1210), b"SH", self.kernel.as_bytes());
        add((0x0020, 0x000d), b"UI", self.study.as_bytes());
        add((0x0020, 0x000e), b"UI", self.series.as_bytes());
        add((0x0020, 0x0013), b"IS", self.number.to_string().as_bytes());
        if let Some(position) = self.position {
            add((0x0020, 0x0032), b"DS", text(&position).as_bytes());
            add((0x0020, 0x0037), b"DS", text(&self.orientation).as_bytes());
        }
        add((0x0028, 0x0002), b"US", &1_u16.to_le_bytes());
        add((0x0028, 0x0004), b"CS", b"MONOCHROME2");
        add((0x0028, 0x0010), b"US", &self.side.to_le_bytes());
        add((0x0028, 0x0011), b"US", &self.side.to_le_bytes());
        add((0x0028, 0x0030), b"DS", b"0.7\\0.7");
        for (at, value) in [(0x0100, 16_u16), (0x0101, 16), (0x0102, 15), (0x0103, 0)] {
            add((0x0028, at), b"US", &value.to_le_bytes());
        }
        if let Some([centre, width]) = &self.window {
            add((0x0028, 0x1050), b"DS", centre.as_bytes());
            add((0x0028, 0x1051), b"DS", width.as_bytes());
        }
        add((0x0028, 0x1052), b"DS", b"-1024");
        add((0x0028, 0x1053), b"DS", b"1");
        let pixels: Vec<u8> = self.stored.iter().flat_map(|value| value.to_le_bytes()).collect();
        if !pixels.is_empty() {
            add((0x7fe0, 0x0010), b"OW", &pixels);
        }
        let mut meta = Vec::new();
        element(&mut meta, (0x0002, 0x0002), b"UI", self.sop_class.as_bytes());
        element(&mut meta, (0x0002, 0x0003), b"UI", instance.as_bytes());
        element(&mut meta, (0x0002, 0x0010), b"UI", self.syntax.as_bytes());
        let mut file = vec![0; 128];
        file.extend(b"DICM");
        element(&mut file, (0x0002, 0x0000), b"UL", &(meta.len() as u32).to_le_bytes());
        file.extend(meta);
        file.extend(set);
        file
    }

    pub fn write(&self, path: impl AsRef<Path>) {
        let path = path.as_ref();
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, self.bytes()).expect("writes");
    }
}

fn number_of(text: &str) -> u64 {
    text.bytes().fold(7, |sum, byte| (sum * 131 + u64::from(byte)) % 1_000_000_007)
}

fn element(to: &mut Vec<u8>, (group, number): (u16, u16), vr: &[u8; 2], value: &[u8]) {
    let mut value = value.to_vec();
    if value.len() % 2 == 1 {
        value.push(if vr == b"UI" { 0 } else { b' ' });
    }
    to.extend(group.to_le_bytes());
    to.extend(number.to_le_bytes());
    to.extend(vr);
    match vr {
        b"OW" | b"OB" | b"SQ" | b"UN" => {
            to.extend([0, 0]);
            to.extend((value.len() as u32).to_le_bytes());
        }
        _ => to.extend((value.len() as u16).to_le_bytes()),
    }
    to.extend(value);
}

/// A NIfTI-1 file of 16-bit values, x fastest, whose axes grow to the left, the anterior and the superior, 1×1×2 mm.
pub fn nifti(size: [u16; 3], values: &[i16]) -> Vec<u8> {
    let mut header = vec![0_u8; 352];
    let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, &348_i32.to_le_bytes());
    for (axis, value) in [3, size[0], size[1], size[2], 1, 1, 1, 1].into_iter().enumerate() {
        put(40 + 2 * axis, &value.to_le_bytes());
    }
    put(70, &4_i16.to_le_bytes());
    put(72, &16_i16.to_le_bytes());
    for (axis, value) in [1.0_f32, 1.0, 1.0, 2.0].into_iter().enumerate() {
        put(76 + 4 * axis, &value.to_le_bytes());
    }
    put(108, &352.0_f32.to_le_bytes());
    put(112, &1.0_f32.to_le_bytes());
    put(254, &1_i16.to_le_bytes());
    for (row, values) in [[-1.0_f32, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 2.0, 0.0]].into_iter().enumerate()
    {
        for (column, value) in values.into_iter().enumerate() {
            put(280 + 16 * row + 4 * column, &value.to_le_bytes());
        }
    }
    put(344, b"n+1\0");
    header.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    header
}
