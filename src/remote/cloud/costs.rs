//! What the rented machine costs: `data_manifest/gcp-prices.json` times the sizes of a configuration.

use super::cloud_config::CloudConfig;
use crate::base::errors::{Context, Result, ensure};
use crate::base::table::{Table, shown_as_table};
use serde::Deserialize;
use std::collections::BTreeMap;

/// Size of the three archives in the slides, in GB; used for those that are not on this machine.
const SLIDES_GB: [f64; 3] = [32.4, 7.0, 1.9];

/// One price, its source, and whether it was verified.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Price {
    /// US dollars.
    pub usd: f64,
    /// Key of the source in the file.
    pub source: String,
    /// `false` for a figure from memory and for one without a date.
    pub verified: bool,
}

/// What one region charges.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Region {
    n1_standard_4_hour: Price,
    t4_hour: Price,
    pd_standard_gb_month: Price,
    storage_gb_month: Price,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct PriceSource {
    date: String,
    what: String,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct FullMonth {
    share: f64,
    #[serde(rename = "source")]
    _source: String,
    #[serde(rename = "verified")]
    _verified: bool,
    #[serde(rename = "what")]
    _what: String,
}

/// What the slides' console said.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Slides {
    region: String,
    month: f64,
    hour: f64,
    #[serde(rename = "what")]
    _what: String,
}

/// The file of prices.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Prices {
    #[serde(rename = "about")]
    _about: String,
    currency: String,
    hours_per_month: f64,
    full_month: FullMonth,
    sources: BTreeMap<String, PriceSource>,
    management_vcpu_hour: Price,
    management_t4_hour: Price,
    regions: BTreeMap<String, Region>,
    slides: Slides,
}

impl Prices {
    fn known() -> Result<Self> {
        let text = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/data_manifest/gcp-prices.json"));
        serde_json::from_str(text).context("reading the prices in data_manifest/gcp-prices.json")
    }
}

/// One line of the bill.
#[derive(Debug, Clone, PartialEq)]
struct PriceItem {
    what: String,
    price: Price,
    /// While it runs, by the hour, without discount.
    hour: f64,
    /// A month of running, with the discount for it.
    month: f64,
    /// A month stopped.
    stopped: f64,
}

/// What a configuration costs.
#[derive(Debug, Clone, PartialEq)]
pub struct Costs {
    region: String,
    items: Vec<PriceItem>,
    notes: Vec<String>,
}

impl Costs {
    /// Multiplies prices and sizes.
    ///
    /// # Errors
    /// No price is known for the region, the machine type or the disk type.
    pub fn new(config: &CloudConfig) -> Result<Self> {
        Self::at(config, &Prices::known()?)
    }

    fn at(config: &CloudConfig, prices: &Prices) -> Result<Self> {
        let region = prices.regions.get(&config.region).with_context(|| {
            let known = prices.regions.keys().cloned().collect::<Vec<_>>().join(", ");
            format!("looking up prices: expected one of the regions {known}, found {:?}", config.region)
        })?;
        let standard = config.machine_type.starts_with("n1-standard-");
        let vcpus = config.vcpus().filter(|_| standard).with_context(|| {
            format!("looking up prices: expected a machine type n1-standard-N, found {:?}", config.machine_type)
        })?;
        for kind in [&config.boot_disk_type, &config.data_disk_type] {
            ensure!(kind == "PD_STANDARD", "looking up prices: expected the disk type PD_STANDARD, found {kind:?}");
        }
        let hourly = |what: String, price: &Price, number: f64| {
            let hour = price.usd * number;
            let month = hour * prices.hours_per_month * prices.full_month.share;
            PriceItem { what, price: price.clone(), hour, month, stopped: 0.0 }
        };
        let monthly = |what: String, price: &Price, gigabytes: f64| {
            let month = price.usd * gigabytes;
            PriceItem { what, price: price.clone(), hour: month / prices.hours_per_month, month, stopped: month }
        };
        let gpus = f64::from(config.gpu_count);
        let disk = |what: &str, gigabytes: u32| {
            monthly(format!("{what}, {gigabytes} GB"), &region.pd_standard_gb_month, f64::from(gigabytes))
        };
        let fee = prices.management_vcpu_hour.usd * f64::from(vcpus) + prices.management_t4_hour.usd * gpus;
        let fee_price = Price { usd: fee, ..prices.management_vcpu_hour.clone() };
        // No sustained-use discount is known for the fee.
        let fee = PriceItem { month: fee * prices.hours_per_month, ..hourly("Management fee".into(), &fee_price, 1.0) };
        let archives = archive_gigabytes(config);
        let items = vec![
            hourly(config.machine_type.clone(), &region.n1_standard_4_hour, f64::from(vcpus) / 4.0),
            hourly(format!("T4 × {gpus}"), &region.t4_hour, gpus),
            disk("Boot disk", config.boot_disk_gb),
            disk("Data disk", config.data_disk_gb),
            fee,
            monthly(format!("Bucket, {archives:.1} GB"), &region.storage_gb_month, archives),
        ];
        let mut costs = Self { region: config.region.clone(), items, notes: Vec::new() };
        costs.notes = costs.explain(prices)?;
        Ok(costs)
    }

    /// US dollars an hour while the instance runs, without the discount for a full month.
    pub fn running_hour(&self) -> f64 {
        self.items.iter().map(|item| item.hour).sum()
    }

    /// US dollars for a month of running without a break.
    pub fn running_month(&self) -> f64 {
        self.items.iter().map(|item| item.month).sum()
    }

    /// US dollars for a month while the instance is stopped: disks and bucket.
    pub fn stopped_month(&self) -> f64 {
        self.items.iter().map(|item| item.stopped).sum()
    }

    /// US dollars a month for the bucket.
    pub fn bucket_month(&self) -> f64 {
        self.items.last().map_or(0.0, |item| item.month)
    }

    fn explain(&self, prices: &Prices) -> Result<Vec<String>> {
        let mut notes = vec![format!(
            "A month: {} hours, machine and GPU at {:.0} % of their hours (sustained use). A weekend forgotten: {:.0} {}.",
            prices.hours_per_month,
            100.0 * prices.full_month.share,
            self.running_hour() * 60.0,
            prices.currency
        )];
        let used: Vec<&str> = self.items.iter().map(|item| item.price.source.as_str()).collect();
        for (key, source) in prices.sources.iter().filter(|(key, _)| used.contains(&key.as_str())) {
            notes.push(format!("{key} ({}): {}.", source.date, source.what));
        }
        let ours = slides_month(prices)?;
        let slides = &prices.slides;
        notes.push(format!(
            "The slides' machine in {}: their console said {:.2} a month ({:.3} an hour, which is the month divided by \
             730); these prices make {ours:.2}, without bucket and fee.",
            slides.region, slides.month, slides.hour
        ));
        Ok(notes)
    }

    fn table(&self) -> Table {
        let columns = ["What", "An hour running", "A month running", "A month stopped", "Price from"];
        let mut table = Table::new(format!("Costs in {}, USD", self.region), &columns);
        for item in &self.items {
            let doubt = if item.price.verified { "" } else { ", NOT VERIFIED" };
            let source = format!("{}{doubt}", item.price.source);
            let money = [format!("{:.3}", item.hour), format!("{:.2}", item.month), format!("{:.2}", item.stopped)];
            table.row([item.what.clone()].into_iter().chain(money).chain([source]));
        }
        table.row([
            "Sum".to_owned(),
            format!("{:.3}", self.running_hour()),
            format!("{:.2}", self.running_month()),
            format!("{:.2}", self.stopped_month()),
            String::new(),
        ]);
        self.notes.iter().fold(table, |table, note| table.note(note.clone()))
    }
}

shown_as_table!(Costs);

/// The month of the slides' machine at these prices: n1-standard-4, one T4, twice 100 GB.
fn slides_month(prices: &Prices) -> Result<f64> {
    let region = prices.regions.get(&prices.slides.region).context("the slides' region has no prices")?;
    let hour = region.n1_standard_4_hour.usd + region.t4_hour.usd;
    Ok(hour * prices.hours_per_month * prices.full_month.share + 200.0 * region.pd_standard_gb_month.usd)
}

/// Size of the archives: their own where they are on this machine, else that of the slides'.
fn archive_gigabytes(config: &CloudConfig) -> f64 {
    let archives = [&config.archives.training, &config.archives.validation, &config.archives.prediction];
    let sizes = archives.iter().zip(SLIDES_GB);
    sizes.map(|(path, slides)| std::fs::metadata(path).map_or(slides, |data| data.len() as f64 / 1e9)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slides_figures_are_met_within_a_percent() {
        let prices = Prices::known().expect("prices");
        let ours = slides_month(&prices).expect("the slides' region");
        assert_eq!(format!("{ours:.2}"), "324.03");
        assert!((ours / prices.slides.month - 1.0).abs() < 0.01, "{ours} against {}", prices.slides.month);
        let hour = prices.slides.month / prices.hours_per_month;
        assert_eq!(format!("{hour:.3}"), "0.440", "the slides' hour is their month divided by 730");
    }

    #[test]
    fn only_dated_prices_are_verified() {
        let prices = Prices::known().expect("prices");
        let of = |region: &Region| {
            let Region { n1_standard_4_hour, t4_hour, pd_standard_gb_month, storage_gb_month } = region.clone();
            [n1_standard_4_hour, t4_hour, pd_standard_gb_month, storage_gb_month]
        };
        let all = prices.regions.values().flat_map(of);
        for price in all.chain([prices.management_vcpu_hour.clone(), prices.management_t4_hour.clone()]) {
            let date = &prices.sources[&price.source].date;
            let dated = date.len() == "2025-03-06".len() && date.bytes().all(|b| b.is_ascii_digit() || b == b'-');
            assert!(dated || !price.verified, "{} of {date}", price.source);
        }
    }

    #[test]
    fn stopping_leaves_disks_and_bucket() {
        let config = CloudConfig::default();
        let costs = Costs::new(&config).expect("costs");
        let disks = 200.0 * 0.04;
        assert!((costs.stopped_month() - disks - 41.3 * 0.02).abs() < 1e-9, "{}", costs.stopped_month());
        assert!((costs.running_hour() - (0.219_998 + 0.35 + disks / 730.0 + 0.055 + 41.3 * 0.02 / 730.0)).abs() < 1e-9);
        let text = costs.to_string();
        assert!(text.contains("NOT VERIFIED") && text.contains("321.03") && text.contains("2025-03-06"), "{text}");
    }

    #[test]
    fn what_has_no_price_is_named() {
        let config = CloudConfig { region: "asia-east2".into(), zone: "asia-east2-a".into(), ..CloudConfig::default() };
        let error = Costs::new(&config).expect_err("no such region").to_string();
        assert!(error.contains("asia-east1") && error.contains("\"asia-east2\""), "{error}");
        let config = CloudConfig { machine_type: "n1-highmem-4".into(), ..CloudConfig::default() };
        assert!(Costs::new(&config).expect_err("no such machine").to_string().contains("n1-highmem-4"));
        let config = CloudConfig { boot_disk_type: "PD_SSD".into(), ..CloudConfig::default() };
        assert!(Costs::new(&config).expect_err("no such disk").to_string().contains("PD_SSD"));
    }
}
