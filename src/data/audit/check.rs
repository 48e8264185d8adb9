//! The checks of an audit.

use serde::{Deserialize, Serialize};
use std::fmt;

/// What a finding means for the steps that follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Must not be trained on: excluded by [`Audit::accepted`](crate::Audit::accepted).
    Exclude,
    /// Kept, but affects the split or the meaning of results.
    Warning,
    /// Kept; for information.
    Note,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(["exclude", "warning", "note"][*self as usize])
    }
}

macro_rules! checks {
    ($($(#[doc = $doc:literal])+ $name:ident $text:literal $severity:ident $meaning:literal;)+) => {
        /// One kind of defect. `Display` gives its name as written in files and tables, for example `black-slice`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum Check { $($(#[doc = $doc])+ $name,)+ }

        impl Check {
            /// All checks, the most severe first.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The name in files and tables.
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => $text),+ }
            }

            /// The severity of its findings.
            pub fn severity(self) -> Severity {
                match self { $(Self::$name => Severity::$severity),+ }
            }

            /// A sentence that explains the finding.
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$name => $meaning),+ }
            }
        }
    };
}

checks! {
    /// A file among slices that is not named as a picture.
    JunkFile "junk-file" Exclude "Not named as a picture; what was found says what it is. A companion ._N.jpg of macOS, for one, ends a training when it is read as an image.";
    /// Zero bytes.
    EmptyFile "empty-file" Exclude "Zero bytes: a copy or a download that broke off.";
    /// A pipe, a socket, a device, a link without an end.
    NotAFile "not-a-file" Exclude "Not a regular file but a pipe, a socket, a device, or a link that leads nowhere or in a circle: it is never opened.";
    /// A name that is not UTF-8.
    UnreadableName "unreadable-name" Exclude "The name of a file or folder is not UTF-8, so that nothing of it is read: rename it.";
    /// Longer than any slice or volume.
    TooLarge "too-large" Exclude "Longer than 256 MB for one slice, or 4.2 GB for a file of many: it is not read.";
    /// Neither JPEG nor PNG.
    NotAnImage "not-an-image" Exclude "Named like an image but holds something else, or pictures in a format that is not read; what was found says which, and what to do.";
    /// A header claiming more pixels than any slice has.
    OversizedHeader "oversized-header" Exclude "The header claims more pixels than any CT slice has; reading it could take all memory.";
    /// Pixels that end early.
    Truncated "truncated" Exclude "The file ends before its last pixels; many readers would fill the rest with grey without a warning.";
    /// A JPEG with all of its picture, but without its last marker.
    NoEndMarker "no-end-marker" Exclude "A JPEG with all of its picture but without the marker of its end, which some readers accept and others refuse: COVID_CT_NO_END_MARKER=accept uses such files.";
    /// Any other error of the decoder.
    Corrupt "corrupt" Exclude "The pixels cannot be decoded.";
    /// A valid file of a kind that is not read.
    Unsupported "unsupported" Exclude "A valid file that is not read, for example of a transfer syntax without a decoder; what was found says how to convert it.";
    /// A 16-bit picture whose values may mean anything.
    UnknownValues "unknown-values" Exclude "16 bits a pixel, and nobody said what the values mean; what was found gives their range, what they probably are, and the setting of COVID_CT_SIXTEEN_BIT.";
    /// Localizer, dose report, secondary capture, segmentation, PET, MR, …
    NotCt "not-ct" Exclude "A scanner's file that is no slice of a CT scan: a localizer, a report, a screenshot, a segmentation, another modality.";
    /// A coronal or sagittal reformat.
    NotAxial "not-axial" Exclude "Not an axial slice: a coronal, sagittal or oblique reformat.";
    /// Another part of the body.
    NoLungs "no-lungs" Exclude "No slice of the scan shows lungs: an abdomen, a head, a knee.";
    /// Bright air, dark tissue.
    Inverted "inverted" Exclude "The grey levels of the scan are inverted: air is bright and tissue dark. Invert them.";
    /// No position in a series that has them.
    NoPosition "no-position" Exclude "No position, in a series whose other slices have one: its place among them is unknown.";
    /// The position of another slice.
    RepeatedSlice "repeated-slice" Exclude "In the same place as another slice of its series, which is kept.";
    /// Every pixel is (almost) zero.
    BlackSlice "black-slice" Exclude "No pixel is brighter than level 8 of 255: nothing was exported.";
    /// A little more than black.
    NearlyBlack "nearly-black" Exclude "Almost nothing is visible: 99 % of the pixels at level 64 of 255 or darker, and too few levels to stretch them; often a wrong window at export.";
    /// All pixels within a few grey levels.
    LowContrast "low-contrast" Exclude "98 % of the pixels lie within 24 grey levels: no anatomy is visible.";
    /// A report, a form.
    TextPage "text-page" Exclude "A page of text, such as a dose report: an even ground with lines of short strokes.";
    /// A binary segmentation, a map of labels.
    MaskPicture "mask-picture" Exclude "A mask or a map of labels: a few grey levels hold nearly all pixels, or there are no others.";
    /// Noise only.
    Noise "noise" Exclude "Noise alone: what is seen at one place says nothing about the place beside it.";
    /// A contact sheet.
    SeveralSlices "several-slices" Exclude "A page of several pictures, such as a contact sheet, in a slice's place.";
    /// A scout view.
    LocalizerPicture "localizer-picture" Exclude "No axial slice but a scout (localizer, topogram), or a coronal or sagittal view: the body goes on from the upper to the lower border.";
    /// A mask, a heat map or an augmented copy of another slice.
    DerivedPicture "derived-picture" Exclude "Named as made of another slice of its scan (3_mask.png, 3_flip.png beside 3.png): a mask, a heat map, an augmented copy. The other slice is kept.";
    /// The same picture twice.
    ExactDuplicate "exact-duplicate" Exclude "The same pixels as another slice, which is kept; a copy in training and one in test would be a leak. A split keeps the two scans together.";
    /// One patient with both labels.
    ConflictingLabel "conflicting-label" Exclude "Two scans with different labels look like the same patient: one of the labels is wrong, and the data does not show which.";
    /// One patient as two scans.
    SamePatient "same-patient" Warning "Two scans look like the same patient: a split must keep them together, and training must not hold one whose twin is used for validation.";
    /// One patient, by a table or DICOM, in training and validation.
    PatientInParts "patient-in-parts" Warning "Scans of several parts are known to be one patient's, by a table, DICOM or folders: a leak, where some are for training. A split by patient leaves those out of training that another is validated with.";
    /// One patient, by a table or DICOM, with both labels.
    PatientInClasses "patient-in-classes" Warning "Scans of both classes are known to be one patient's, by a table, DICOM or folders: two examinations, or a label or a name that is wrong.";
    /// A folder with pictures that is not understood.
    UnknownFolder "unknown-folder" Warning "Pictures or scanners' files in folders whose names do not say what they are: they are not read. What was found says what is expected.";
    /// Pictures beside scans.
    LoosePictures "loose-pictures" Warning "Pictures that lie in no scan's folder: they are not read. Put those of each scan into a folder, or name them in a labels.csv.";
    /// A test set with classes.
    LabelledTest "labelled-test" Warning "A test set whose folders name classes: its scans are predicted, its labels are not used, so that nothing is chosen by them. Judge it with `covid-ct validate`.";
    /// Names that say the other class.
    ContradictingName "contradicting-name" Warning "The name of the scan, its pictures or its folder says another class or part than it was given: it lies in the wrong folder, or labels.csv is wrong.";
    /// A class in no part.
    NoPart "no-part" Warning "A class whose folders name no part, where those of others do: its scans are read as train. A part may be misspelt, or be of another study.";
    /// A zip, a tar, … beside scans.
    PackedFiles "packed-files" Warning "An archive, or an unfinished download, beside scans: what is in it is not read. Unpack it, or read zip archives in place by `covid-ct audit --archives`.";
    /// A table that may name patients or labels.
    UnreadTable "unread-table" Warning "A table beside scans that is not read, though it may name patients or labels: patients.csv and labels.csv, in the data set's folder, are.";
    /// A folder without slices.
    EmptyScan "empty-scan" Warning "A scan folder without a slice: it counts as a patient in no table.";
    /// A gap in the slice numbers.
    MissingSlice "missing-slice" Warning "Slice numbers are missing between the first and the last: the series is not whole.";
    /// Names by which the order of slices is not sure.
    DoubtfulOrder "doubtful-order" Warning "The slices' names differ in more than one number: the scan is read in their natural order, which may not be that along the patient.";
    /// One number several times in a scan.
    RepeatedNumber "repeated-number" Warning "Several pictures of a scan have one number: a slice may be there twice, or two series in one folder.";
    /// A row of a table without a scan.
    UnmatchedRow "unmatched-row" Warning "A row of labels.csv or patients.csv names no scan here: what it says is used for nothing.";
    /// Distances of neighbouring slices differ.
    UnevenSpacing "uneven-spacing" Warning "Neighbouring slices of the series are not at the same distance.";
    /// Other slices are more alike than neighbours.
    Unordered "unordered" Warning "The numbers of the slices are not their order in the body: other slices are more alike than neighbours, or the scan begins within the body.";
    /// Slices in another orientation than most of their scan.
    TurnedSlices "turned-slices" Warning "Some slices of the scan are turned, mirrored, upside down or inverted against their neighbours: turn them back, or leave them out.";
    /// A slice of something else between two neighbours.
    UnlikeNeighbours "unlike-neighbours" Warning "A slice is unlike both its neighbours, which are alike: of another patient or series, altered, or out of its place.";
    /// A jump where the numbers have none.
    GapInScan "gap-in-scan" Warning "Two neighbours differ far more than those around them: slices are missing, although the numbers have no gap.";
    /// Two scans numbered on.
    SeveralScans "several-scans" Warning "The lungs grow and shrink twice along the scan: two patients, or two series, are numbered on in one folder.";
    /// A copy with other bytes.
    RepeatedInScan "repeated-in-scan" Warning "A slice of the scan comes again, encoded anew: equal down to the noise, which two slices never share.";
    /// Seen from the other side.
    Mirrored "mirrored" Warning "The heart lies at the picture's left: the scan is mirrored, or seen from above; situs inversus (1 in 10,000) looks the same.";
    /// The spine is above.
    UpsideDown "upside-down" Warning "The spine lies above the lungs: the scan is flipped or turned by 180°, or the patient lay prone.";
    /// The lungs lie one above the other.
    Turned "turned" Warning "The lungs lie one above the other: the scan is turned by 90°.";
    /// Widths and heights differ within a scan.
    MixedSizes "mixed-sizes" Warning "Two slices or more of the scan have another width or height than most: two exports in one folder, or pictures from elsewhere.";
    /// The scale differs within a scan.
    MixedViews "mixed-views" Warning "Body and lungs change their size together from a slice to the next: two fields of view in one scan.";
    /// The grey levels of tissue differ within a scan.
    UnevenWindow "uneven-window" Warning "The same tissue has another grey level in other slices of the scan: a window or brightness chosen slice by slice.";
    /// Positions or spacing are missing.
    NoGeometry "no-geometry" Warning "The files lack positions, orientation or pixel spacing: order, sizes or the view may be wrong.";
    /// The same volume as another series.
    RepeatedSeries "repeated-series" Warning "The same volume as another series of the study, a copy or another reconstruction: one patient's scan counts twice.";
    /// Not the usual width and height.
    OddSize "odd-size" Warning "Not the data set's usual size: resizing changes its scale or its proportions.";
    /// Dark, with enough grey levels to be stretched.
    WideWindow "wide-window" Warning "Dark, from a very wide window at export: 99 % of the pixels at level 64 of 255 or darker, or soft tissue at 76 or darker. Enough levels are left for the stretch lung-to-tissue, without which a network sees little.";
    /// Colour in a grey data set.
    Colour "colour" Warning "Stored in three channels, which may be equal: it may come from a screenshot; it is read as grey.";
    /// Colours that are seen.
    Coloured "coloured" Warning "Something coloured is drawn on the slice: an overlay, a heat map, arrows, text. As grey levels it shows what is not in the body.";
    /// 16-bit values cut to 8 bits.
    WrappedValues "wrapped-values" Warning "Dark and bright bands that begin anew: values of more than 8 bits were cut to their lowest 8. Export the slices again, through a window.";
    /// Text in the picture.
    Annotated "annotated" Warning "Letters or markers are drawn into the slice: they may name the patient, and a network may learn them.";
    /// A rectangle of one level within the body.
    CutOut "cut-out" Warning "A rectangle of one grey level within the body: cut out by an augmentation, or covered. What a class has more often than the other, a network learns.";
    /// Saved with a palette, or with four or five bits.
    FewLevels "few-levels" Warning "Forty grey levels or fewer and no others: saved with a palette, or with four or five bits, so that differences within tissue are lost.";
    /// Frames, windows, padding.
    Borders "borders" Warning "A frame, a screen's window or padding is part of the picture: the slice is smaller than it seems.";
    /// Less sharp than others.
    Blurred "blurred" Warning "A slice much less sharp than its scan, or a whole scan than the data set: details of the lung are lost.";
    /// Too bright.
    Overexposed "overexposed" Warning "So bright that much of what is shown is white: its details are lost.";
    /// DICOM files that say who the patient is.
    NamedPatient "named-patient" Warning "DICOM files that hold a patient's name or birth date. Nothing of it is kept or shown here; the files themselves are not to be passed on like that.";
    /// Control characters, marks of writing direction and the like in a name.
    HiddenCharacters "hidden-characters" Warning "The name of a file, scan, patient or source holds characters that are not seen, such as a line break, or that turn the direction of writing; they are shown as escapes, such as \\n.";
    /// The gantry was tilted.
    GantryTilt "gantry-tilt" Note "The slices are tilted against the patient's axis; they are used as they are.";
    /// PNG inside, `.jpg` outside.
    WrongFormat "wrong-format" Note "The name's ending does not fit the contents; it is read by its contents.";
    /// A JPEG without its last marker that is used all the same.
    NoEndAccepted "no-end-accepted" Note "A JPEG with all of its picture but without the marker of its end; it is used, as was said when the data set was audited.";
    /// Not the baseline JPEG that scanners export.
    ProgressiveJpeg "progressive-jpeg" Note "A progressive JPEG: re-saved by other software than the rest, and slower to read.";
    /// Outside every scan folder.
    StrayFile "stray-file" Note "Lies in no scan folder and belongs to no scan.";
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
