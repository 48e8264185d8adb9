//! Figures inside the page: small, and each once.

use crate::base::errors::Result;
use crate::base::figure::Figure;
use crate::data::resize::fitted;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use image::DynamicImage;
use image::codecs::jpeg::JpegEncoder;

/// JPEG quality of slices on a page: the figures' own files have the whole ones.
const QUALITY: u8 = 70;

/// The figure as HTML. Its SVG is in the address as text, which takes less room than base64, and pictures in it have the size at
/// which they are shown.
pub(super) fn embedded(figure: &Figure) -> String {
    figure.html_with(&address(&at_size_shown(figure.svg())))
}

/// The SVG as the address of a picture, safe within double quotes.
fn address(svg: &str) -> String {
    let mut address = String::from("data:image/svg+xml,");
    // Single quotes do as well, where no text has one.
    let quote = if svg.contains('\'') { "%22" } else { "'" };
    for c in svg.chars() {
        match c {
            '\n' => {}
            '%' => address.push_str("%25"),
            '#' => address.push_str("%23"),
            '"' => address.push_str(quote),
            '&' => address.push_str("&amp;"),
            // A reader of HTML may stop at this one; the other is text in an attribute.
            '<' => address.push_str("%3C"),
            c => address.push(c),
        }
    }
    address.replace("http://", "http:%2F%2F")
}

/// The SVG with each picture in it made as small as it is shown; one that cannot be read or would grow stays.
fn at_size_shown(svg: &str) -> String {
    let mut parts = svg.split("<image ");
    let mut small = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        small.push_str("<image ");
        small.push_str(&shrunk(part).unwrap_or_else(|| part.to_owned()));
    }
    small
}

/// What follows upon `<image `, with a smaller picture.
fn shrunk(part: &str) -> Option<String> {
    let side: u32 = part.split(" width=\"").nth(1)?.split('"').next()?.parse().ok()?;
    let start = part.find("data:image/")?;
    let end = start + part[start..].find('"')?;
    let encoded = part[start..end].split_once(";base64,")?.1;
    let picture = image::load_from_memory(&BASE64.decode(encoded).ok()?).ok()?;
    let jpeg = jpeg(&picture, side).ok()?;
    let address = format!("data:image/jpeg;base64,{}", BASE64.encode(jpeg));
    (address.len() < end - start).then(|| format!("{}{address}{}", &part[..start], &part[end..]))
}

fn jpeg(picture: &DynamicImage, side: u32) -> Result<Vec<u8>> {
    let larger = picture.width().max(picture.height()) > side;
    let picture = if larger { &fitted(picture, side)? } else { picture };
    let mut bytes = Vec::new();
    let encoder = JpegEncoder::new_with_quality(&mut bytes, QUALITY);
    match picture.color().has_color() {
        true => picture.to_rgb8().write_with_encoder(encoder)?,
        false => picture.to_luma8().write_with_encoder(encoder)?,
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::figure::Figure;
    use crate::data::decode::encode_png;

    #[test]
    fn pictures_are_as_large_as_they_are_shown_and_the_rest_stays() {
        let pixels: Vec<u8> = (0..300_u32 * 300).map(|at| (at % 251) as u8).collect();
        let png = BASE64.encode(encode_png(300, &pixels).expect("a PNG"));
        let svg = format!(
            "<svg width=\"150\" height=\"150\"><image x=\"1\" width=\"150\" height=\"150\" href=\"data:image/png;base64,{png}\"/>\
             <text>100 % of #1 &amp; more</text></svg>"
        );
        let small = at_size_shown(&svg);
        let encoded = small.split("data:image/jpeg;base64,").nth(1).and_then(|rest| rest.split('"').next());
        let bytes = BASE64.decode(encoded.expect("a JPEG")).expect("base64");
        let drawn = image::load_from_memory(&bytes).expect("reads");
        assert_eq!((drawn.width(), drawn.height(), drawn.color().has_color()), (150, 150, false));
        assert!(small.len() < svg.len() && small.ends_with("\"/><text>100 % of #1 &amp; more</text></svg>"), "{small}");
        let html = embedded(&Figure::new("One", "", &svg));
        assert!(html.contains("100 %25 of %231 &amp;amp; more") && html.matches('<').count() == 5, "{html}");
        let damaged = "<svg><image width=\"9\" href=\"data:image/png;base64,AAAA\"/></svg>";
        assert_eq!(at_size_shown(damaged), damaged);
    }
}
