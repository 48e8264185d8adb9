//! How a copy of a scan may differ from it: what happens to pictures on their way from one collection to the next.

use super::pixels::GreyImage;

/// One change of every slice of a scan.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Alteration {
    /// In words.
    pub(crate) name: &'static str,
    change: fn(&GreyImage) -> GreyImage,
}

const fn altered(name: &'static str, change: fn(&GreyImage) -> GreyImage) -> Alteration {
    Alteration { name, change }
}

impl Alteration {
    /// All that an audit is measured with.
    pub(crate) const ALL: &[Self] = &[
        altered("mirrored", |of| turned(of, false, false, true)),
        altered("upside down", |of| turned(of, false, true, false)),
        altered("turned by 90° to the left", |of| turned(of, true, true, false)),
        altered("turned by 90° to the right", |of| turned(of, true, false, true)),
        altered("turned by 180°", |of| turned(of, false, true, true)),
        altered("inverted", |of| levels(of, |level| 255.0 - level)),
        altered("cropped by 8 % at each side", |of| cropped(of, [0.08; 4])),
        altered("cropped by 12 % at each side", |of| cropped(of, [0.12; 4])),
        altered("cropped by 12 % at each side, enlarged to its size", |of| {
            resized(&cropped(of, [0.12; 4]), of.width, of.height)
        }),
        altered("cropped by 3, 10, 12 and 2 %", |of| cropped(of, [0.03, 0.10, 0.12, 0.02])),
        altered("reduced to 75 %", |of| resized(of, of.width * 3 / 4, of.height * 3 / 4)),
        altered("resized to 384 x 384", |of| resized(of, 384, 384)),
        altered("narrower window", |of| levels(of, |level| (level - 50.0) * 1.7)),
        altered("wider window", |of| levels(of, |level| level * 0.5 + 60.0)),
        altered("lower window", |of| levels(of, |level| level * 1.6)),
        altered("higher window", |of| levels(of, |level| level - 50.0)),
        altered("gamma 0.6", |of| levels(of, |level| 255.0 * (level / 255.0).powf(0.6))),
        altered("gamma 1.6", |of| levels(of, |level| 255.0 * (level / 255.0).powf(1.6))),
        altered("contrast 0.7, brightness +40", |of| levels(of, |level| level * 0.7 + 40.0)),
        altered("soft kernel", |of| sharpened(of, -1.0)),
        altered("sharp kernel", |of| sharpened(of, 1.5)),
        altered("saved again as JPEG", Clone::clone),
        altered("mirrored and cropped", |of| cropped(&turned(of, false, false, true), [0.1, 0.05, 0.06, 0.09])),
        altered("turned by 90°, narrower window", |of| {
            levels(&turned(of, true, true, false), |level| (level - 50.0) * 1.5)
        }),
    ];

    /// The altered slice; crops and turns change its size.
    pub(crate) fn of(self, slice: &GreyImage) -> GreyImage {
        (self.change)(slice)
    }
}

fn levels(of: &GreyImage, level: impl Fn(f32) -> f32) -> GreyImage {
    let table: Vec<u8> = (0..=255_u8).map(|from| level(f32::from(from)).round().clamp(0.0, 255.0) as u8).collect();
    GreyImage { pixels: of.pixels.iter().map(|&from| table[usize::from(from)]).collect(), ..*of }
}

/// Rows become columns, then the order of rows and of columns is reversed.
fn turned(of: &GreyImage, transposed: bool, rows_reversed: bool, columns_reversed: bool) -> GreyImage {
    let (width, height) = if transposed { (of.height, of.width) } else { (of.width, of.height) };
    let pixel = |at: u32| {
        let (y, x) = (at / width, at % width);
        let y = if rows_reversed { height - 1 - y } else { y };
        let x = if columns_reversed { width - 1 - x } else { x };
        let (row, column) = if transposed { (x, y) } else { (y, x) };
        of.pixels[row as usize * of.width as usize + column as usize]
    };
    GreyImage { width, height, pixels: (0..width * height).map(pixel).collect() }
}

/// Without these shares at the left, top, right and bottom.
fn cropped(of: &GreyImage, [left, top, right, bottom]: [f32; 4]) -> GreyImage {
    let range = |length: u32, begin: f32, end: f32| {
        (length as f32 * begin) as usize..length as usize - (length as f32 * end) as usize
    };
    let (columns, rows) = (range(of.width, left, right), range(of.height, top, bottom));
    let row = |y: usize| &of.pixels[y * of.width as usize..][columns.clone()];
    GreyImage {
        width: columns.len() as u32,
        height: rows.len() as u32,
        pixels: rows.clone().flat_map(row).copied().collect(),
    }
}

/// Linear interpolation where it is enlarged, means where it is reduced.
fn resized(of: &GreyImage, width: u32, height: u32) -> GreyImage {
    let (columns, rows) = (weights(of.width, width.max(1)), weights(of.height, height.max(1)));
    let across = |y: usize| {
        let row = &of.pixels[y * of.width as usize..][..of.width as usize];
        columns.iter().map(|of| of.iter().map(|&(x, weight)| weight * f32::from(row[x])).sum()).collect()
    };
    let lines: Vec<Vec<f32>> = (0..of.height as usize).map(across).collect();
    let down = |of: &Vec<(usize, f32)>| {
        let sum = |x: usize| of.iter().map(|&(y, weight)| weight * lines[y][x]).sum::<f32>().round() as u8;
        (0..columns.len()).map(sum).collect::<Vec<u8>>()
    };
    GreyImage { width: width.max(1), height: height.max(1), pixels: rows.iter().flat_map(down).collect() }
}

/// Of each new row or column those it is made of, with their weights (a triangle as wide as the larger distance).
fn weights(from: u32, to: u32) -> Vec<Vec<(usize, f32)>> {
    let scale = from as f32 / to as f32;
    let reach = scale.max(1.0);
    let of = |at: u32| {
        let middle = (at as f32 + 0.5) * scale - 0.5;
        let (first, last) = ((middle - reach).ceil().max(0.0), (middle + reach).floor().min((from - 1) as f32));
        let near: Vec<(usize, f32)> =
            (first as usize..=last as usize).map(|near| (near, 1.0 - (near as f32 - middle).abs() / reach)).collect();
        let sum: f32 = near.iter().map(|(_, weight)| weight).sum();
        near.into_iter().map(|(near, weight)| (near, weight / sum)).collect()
    };
    (0..to).map(of).collect()
}

/// The slice and `amount` times what a blur of about three pixels takes away.
fn sharpened(of: &GreyImage, amount: f32) -> GreyImage {
    const KERNEL: [f32; 7] = [0.04, 0.11, 0.21, 0.28, 0.21, 0.11, 0.04];
    let (width, height) = (of.width as usize, of.height as usize);
    let convolved = |values: &[f32], step: usize, length: usize| -> Vec<f32> {
        let sum = |at: usize| {
            let place = at / step % length;
            let value = |(k, weight): (usize, &f32)| {
                let near = (place + k).saturating_sub(3).min(length - 1);
                weight * values[at + near * step - place * step]
            };
            KERNEL.iter().enumerate().map(value).sum()
        };
        (0..values.len()).map(sum).collect()
    };
    let values: Vec<f32> = of.pixels.iter().map(|&level| f32::from(level)).collect();
    let blurred = convolved(&convolved(&values, 1, width), width, height);
    let level = |(value, blurred): (&f32, f32)| (value + amount * (value - blurred)).round().clamp(0.0, 255.0) as u8;
    GreyImage { pixels: values.iter().zip(blurred).map(level).collect(), ..*of }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn altered(name: &str, of: &GreyImage) -> GreyImage {
        Alteration::ALL.iter().find(|alteration| alteration.name == name).expect("one of them").of(of)
    }

    #[test]
    fn each_does_what_its_name_says() {
        let picture = GreyImage { width: 3, height: 2, pixels: vec![10, 20, 30, 40, 50, 60] };
        let pixels = |name| altered(name, &picture).pixels;
        assert_eq!(pixels("mirrored"), [30, 20, 10, 60, 50, 40]);
        assert_eq!(pixels("upside down"), [40, 50, 60, 10, 20, 30]);
        assert_eq!(pixels("turned by 180°"), [60, 50, 40, 30, 20, 10]);
        assert_eq!(pixels("turned by 90° to the left"), [30, 60, 20, 50, 10, 40]);
        assert_eq!(pixels("turned by 90° to the right"), [40, 10, 50, 20, 60, 30]);
        assert_eq!(pixels("inverted"), [245, 235, 225, 215, 205, 195]);
        assert_eq!(pixels("narrower window"), [0, 0, 0, 0, 0, 17]);
        assert_eq!(altered("turned by 90° to the left", &picture).width, 2);
    }

    #[test]
    fn crops_and_sizes() {
        let level = |at: u32| (at % 100 + at / 100) as u8;
        let picture = GreyImage { width: 100, height: 50, pixels: (0..5000).map(level).collect() };
        let cropped = altered("cropped by 3, 10, 12 and 2 %", &picture);
        assert_eq!((cropped.width, cropped.height, cropped.pixels[0]), (85, 44, 8));
        let small = altered("reduced to 75 %", &picture);
        assert_eq!((small.width, small.height), (75, 37));
        assert!((f32::from(small.pixels[37 * 37 + 18]) - f32::from(picture.pixels[0])).abs() < 100.0);
        let large = resized(&picture, 200, 100);
        assert_eq!(large.pixels[50 * 200 + 100], 75);
        assert_eq!(altered("soft kernel", &picture).pixels[25 * 100 + 50], picture.pixels[25 * 100 + 50]);
    }
}
