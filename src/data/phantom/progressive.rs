//! A minimal progressive JPEG writer for grey images: spectral selection only (one DC scan, one AC scan),
//! with the standard Huffman tables. The `image` crate writes baseline files alone.

/// Zigzag order: position in the scan to index in the block.
const ZIGZAG: [usize; 64] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7, 14, 21,
    28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54,
    47, 55, 62, 63,
];

/// Luminance quantisation of Annex K for quality 50, row by row.
const QUANT: [u16; 64] = [
    16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29, 51,
    87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92, 49, 64, 78, 87, 103, 121, 120, 101,
    72, 92, 95, 98, 112, 100, 103, 99,
];

/// Numbers of codes by length, then symbols: the luminance DC table of Annex K.
const DC_COUNTS: [u8; 16] = [0, 1, 5, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0];
const DC_SYMBOLS: [u8; 12] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11];

/// The luminance AC table of Annex K.
const AC_COUNTS: [u8; 16] = [0, 2, 1, 3, 3, 2, 4, 3, 5, 5, 4, 4, 0, 0, 1, 125];
const AC_SYMBOLS: [u8; 162] = [
    0x01, 0x02, 0x03, 0x00, 0x04, 0x11, 0x05, 0x12, 0x21, 0x31, 0x41, 0x06, 0x13, 0x51, 0x61, 0x07, 0x22, 0x71, 0x14,
    0x32, 0x81, 0x91, 0xa1, 0x08, 0x23, 0x42, 0xb1, 0xc1, 0x15, 0x52, 0xd1, 0xf0, 0x24, 0x33, 0x62, 0x72, 0x82, 0x09,
    0x0a, 0x16, 0x17, 0x18, 0x19, 0x1a, 0x25, 0x26, 0x27, 0x28, 0x29, 0x2a, 0x34, 0x35, 0x36, 0x37, 0x38, 0x39, 0x3a,
    0x43, 0x44, 0x45, 0x46, 0x47, 0x48, 0x49, 0x4a, 0x53, 0x54, 0x55, 0x56, 0x57, 0x58, 0x59, 0x5a, 0x63, 0x64, 0x65,
    0x66, 0x67, 0x68, 0x69, 0x6a, 0x73, 0x74, 0x75, 0x76, 0x77, 0x78, 0x79, 0x7a, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88,
    0x89, 0x8a, 0x92, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99, 0x9a, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7, 0xa8, 0xa9,
    0xaa, 0xb2, 0xb3, 0xb4, 0xb5, 0xb6, 0xb7, 0xb8, 0xb9, 0xba, 0xc2, 0xc3, 0xc4, 0xc5, 0xc6, 0xc7, 0xc8, 0xc9, 0xca,
    0xd2, 0xd3, 0xd4, 0xd5, 0xd6, 0xd7, 0xd8, 0xd9, 0xda, 0xe1, 0xe2, 0xe3, 0xe4, 0xe5, 0xe6, 0xe7, 0xe8, 0xe9, 0xea,
    0xf1, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xf7, 0xf8, 0xf9, 0xfa,
];

/// A progressive JPEG of a grey image (row by row, `width * height` bytes) at a quality of 1..=100.
pub(super) fn encode_progressive(grey: &[u8], width: usize, height: usize, quality: u8) -> Vec<u8> {
    let quant = quantisation(quality);
    let blocks = transform(grey, width, height, &quant);
    let mut out = vec![0xff, 0xd8];
    segment(&mut out, 0xe0, b"JFIF\0\x01\x01\0\0\x01\0\x01\0\0");
    let table: Vec<u8> = std::iter::once(0).chain(ZIGZAG.iter().map(|&i| quant[i] as u8)).collect();
    segment(&mut out, 0xdb, &table);
    let [h, w] = [height as u16, width as u16].map(u16::to_be_bytes);
    segment(&mut out, 0xc2, &[8, h[0], h[1], w[0], w[1], 1, 1, 0x11, 0]);
    huffman(&mut out, 0x00, &DC_COUNTS, &DC_SYMBOLS);
    segment(&mut out, 0xda, &[1, 1, 0x00, 0, 0, 0]);
    scan_dc(&mut out, &blocks);
    huffman(&mut out, 0x10, &AC_COUNTS, &AC_SYMBOLS);
    segment(&mut out, 0xda, &[1, 1, 0x00, 1, 63, 0]);
    scan_ac(&mut out, &blocks);
    out.extend([0xff, 0xd9]);
    out
}

/// The table of Annex K scaled the way libjpeg does.
fn quantisation(quality: u8) -> [u16; 64] {
    let q = u32::from(quality.clamp(1, 100));
    let scale = if q < 50 { 5000 / q } else { 200 - 2 * q };
    QUANT.map(|v| ((u32::from(v) * scale + 50) / 100).clamp(1, 255) as u16)
}

/// Quantised coefficients of all blocks, in zigzag order. Pixels past the edge repeat the last ones.
fn transform(grey: &[u8], width: usize, height: usize, quant: &[u16; 64]) -> Vec<[i32; 64]> {
    let mut basis = [[0.0f32; 8]; 8];
    for (k, row) in basis.iter_mut().enumerate() {
        let norm = if k == 0 { 0.125f32.sqrt() } else { 0.5 };
        for (n, b) in row.iter_mut().enumerate() {
            *b = norm * ((2 * n + 1) as f32 * k as f32 * std::f32::consts::PI / 16.0).cos();
        }
    }
    let mut out = Vec::with_capacity(width.div_ceil(8) * height.div_ceil(8));
    for by in 0..height.div_ceil(8) {
        for bx in 0..width.div_ceil(8) {
            let pixel = |i: usize, j: usize| {
                let (x, y) = ((bx * 8 + i).min(width - 1), (by * 8 + j).min(height - 1));
                f32::from(grey[y * width + x]) - 128.0
            };
            out.push(block(&basis, quant, pixel));
        }
    }
    out
}

fn block(basis: &[[f32; 8]; 8], quant: &[u16; 64], pixel: impl Fn(usize, usize) -> f32) -> [i32; 64] {
    let mut half = [[0.0f32; 8]; 8];
    for (j, line) in half.iter_mut().enumerate() {
        for (k, h) in line.iter_mut().enumerate() {
            *h = (0..8).map(|i| basis[k][i] * pixel(i, j)).sum();
        }
    }
    std::array::from_fn(|n| {
        let at = ZIGZAG[n];
        let (row, col) = (at / 8, at % 8);
        let c: f32 = (0..8).map(|j| basis[row][j] * half[j][col]).sum();
        (c / f32::from(quant[at])).round() as i32
    })
}

fn segment(out: &mut Vec<u8>, marker: u8, body: &[u8]) {
    out.extend([0xff, marker]);
    out.extend((body.len() as u16 + 2).to_be_bytes());
    out.extend(body);
}

fn huffman(out: &mut Vec<u8>, class: u8, counts: &[u8; 16], symbols: &[u8]) {
    let body: Vec<u8> = std::iter::once(class).chain(counts.iter().copied()).chain(symbols.iter().copied()).collect();
    segment(out, 0xc4, &body);
}

/// Code and length of every symbol.
fn codes(counts: &[u8; 16], symbols: &[u8]) -> [(u32, u32); 256] {
    let mut table = [(0, 0); 256];
    let (mut code, mut next) = (0u32, symbols.iter());
    for (length, &count) in (1u32..).zip(counts) {
        for &symbol in next.by_ref().take(usize::from(count)) {
            table[usize::from(symbol)] = (code, length);
            code += 1;
        }
        code <<= 1;
    }
    table
}

/// Bits, most significant first, with a zero byte stuffed after every 0xff.
struct Bits<'a> {
    out: &'a mut Vec<u8>,
    held: u64,
    count: u32,
}

impl Bits<'_> {
    fn put(&mut self, (value, length): (u32, u32)) {
        self.held = (self.held << length) | u64::from(value);
        self.count += length;
        while self.count >= 8 {
            self.count -= 8;
            let byte = (self.held >> self.count) as u8;
            self.out.push(byte);
            if byte == 0xff {
                self.out.push(0);
            }
        }
    }

    /// Fills the last byte with ones.
    fn finish(mut self) {
        if self.count > 0 {
            let rest = 8 - self.count;
            self.put(((1 << rest) - 1, rest));
        }
    }
}

/// Size category of a value and its extra bits.
fn extra(v: i32) -> (u32, u32) {
    let size = 32 - v.unsigned_abs().leading_zeros();
    let bits = if v < 0 { (v - 1) as u32 } else { v as u32 };
    (bits & ((1 << size) - 1), size)
}

fn scan_dc(out: &mut Vec<u8>, blocks: &[[i32; 64]]) {
    let table = codes(&DC_COUNTS, &DC_SYMBOLS);
    let mut bits = Bits { out, held: 0, count: 0 };
    let mut last = 0;
    for b in blocks {
        let (value, size) = extra(b[0] - last);
        last = b[0];
        bits.put(table[size as usize]);
        bits.put((value, size));
    }
    bits.finish();
}

fn scan_ac(out: &mut Vec<u8>, blocks: &[[i32; 64]]) {
    let table = codes(&AC_COUNTS, &AC_SYMBOLS);
    let mut bits = Bits { out, held: 0, count: 0 };
    for b in blocks {
        let mut run = 0usize;
        for &v in &b[1..] {
            if v == 0 {
                run += 1;
                continue;
            }
            while run > 15 {
                bits.put(table[0xf0]);
                run -= 16;
            }
            let (value, size) = extra(v);
            bits.put(table[(run << 4) | size as usize]);
            bits.put((value, size));
            run = 0;
        }
        if run > 0 {
            bits.put(table[0]);
        }
    }
    bits.finish();
}
