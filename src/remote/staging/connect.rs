//! Opens a store with the credentials found, and reads the one header of the answers that object_store does not pass
//! on: `x-goog-hash`, with the object's CRC-32C.

use crate::base::errors::{Context, Result, bail};
use async_trait::async_trait;
use base64::Engine;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpRequest, HttpResponse, HttpService, ReqwestConnector,
};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::local::LocalFileSystem;
use object_store::{ClientConfigKey, HeaderMap, ObjectStore, RetryConfig};
use std::cell::Cell;
use std::env;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// A request that takes longer has hung: a part of 8 MiB then comes at less than 70 KB/s.
const TIMEOUT: &str = "120 seconds";
const CONNECT_TIMEOUT: &str = "10 seconds";

/// A store, the path in it, and how it was opened (for messages; no secrets).
pub(super) struct Connection {
    pub(super) store: Arc<dyn ObjectStore>,
    pub(super) path: String,
    pub(super) access: String,
}

/// Opens what `url` names: `gs://bucket/path` (at `emulator` if given), `s3://bucket/path`, `file:///folder` or a local
/// path.
pub(super) fn connect(url: &str, emulator: Option<&str>) -> Result<Connection> {
    let (scheme, rest) = url.split_once("://").unwrap_or(("file", url));
    let (bucket, path) = rest.split_once('/').unwrap_or((rest, ""));
    match scheme {
        "gs" | "s3" if bucket.is_empty() => bail!("expected {scheme}://bucket/path, found no bucket"),
        "gs" => google(bucket, path, emulator),
        "s3" => amazon(bucket, path),
        "file" => local(Path::new(rest)),
        other => bail!("expected gs://bucket/path, s3://bucket/path or file:///path, found the scheme {other:?}"),
    }
}

/// A few short retries; the caller, which knows how much has arrived, retries for longer.
fn retries() -> RetryConfig {
    RetryConfig { max_retries: 2, retry_timeout: Duration::from_secs(10), ..RetryConfig::default() }
}

fn google(bucket: &str, path: &str, emulator: Option<&str>) -> Result<Connection> {
    let client = |key| GoogleConfigKey::Client(key);
    let mut builder = GoogleCloudStorageBuilder::from_env()
        .with_bucket_name(bucket)
        .with_config(client(ClientConfigKey::Timeout), TIMEOUT)
        .with_config(client(ClientConfigKey::ConnectTimeout), CONNECT_TIMEOUT)
        .with_retry(retries())
        .with_http_connector(Watching);
    if let Some(server) = emulator {
        builder = builder.with_base_url(server).with_skip_signature(true);
    }
    let setting = |builder: &GoogleCloudStorageBuilder, key| builder.get_config_value(&key);
    if setting(&builder, GoogleConfigKey::BaseUrl).is_some_and(|url| url.starts_with("http://")) {
        builder = builder.with_config(client(ClientConfigKey::AllowHttp), "true");
    }
    let given =
        [GoogleConfigKey::ServiceAccount, GoogleConfigKey::ServiceAccountKey, GoogleConfigKey::ApplicationCredentials];
    let access = if emulator.is_some() {
        "in an emulator"
    } else if setting(&builder, GoogleConfigKey::SkipSignature).is_some_and(|skip| skip.eq_ignore_ascii_case("true")) {
        "without credentials, as GOOGLE_SKIP_SIGNATURE asks"
    } else if given.into_iter().any(|key| setting(&builder, key).is_some()) {
        "with the credentials that the environment names"
    } else if let Some(file) = gcloud_credentials() {
        builder = builder.with_application_credentials(file.display().to_string());
        "with gcloud's application default credentials"
    } else if is_google_vm() {
        "as this VM's service account"
    } else {
        builder = builder.with_skip_signature(true);
        "without credentials, for none were found (`gcloud auth application-default login` makes them)"
    };
    let store = builder.build().with_context(|| format!("opening the bucket {access}"))?;
    Ok(Connection { store: Arc::new(store), path: path.to_owned(), access: access.to_owned() })
}

/// What `gcloud auth application-default login` leaves.
fn gcloud_credentials() -> Option<PathBuf> {
    let gcloud = env::var_os("CLOUDSDK_CONFIG").map(PathBuf::from);
    let gcloud = gcloud.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".config/gcloud")))?;
    Some(gcloud.join("application_default_credentials.json")).filter(|file| file.is_file())
}

/// Detected as Google's own libraries do, without a request that would hang elsewhere.
fn is_google_vm() -> bool {
    let product = std::fs::read_to_string("/sys/class/dmi/id/product_name").unwrap_or_default();
    product.trim().starts_with("Google") || env::var_os("GCE_METADATA_HOST").is_some()
}

fn amazon(bucket: &str, path: &str) -> Result<Connection> {
    let client = |key| AmazonS3ConfigKey::Client(key);
    let mut builder = AmazonS3Builder::from_env()
        .with_bucket_name(bucket)
        .with_config(client(ClientConfigKey::Timeout), TIMEOUT)
        .with_config(client(ClientConfigKey::ConnectTimeout), CONNECT_TIMEOUT)
        .with_retry(retries());
    if env::var("AWS_ENDPOINT_URL").is_ok_and(|url| url.starts_with("http://")) {
        builder = builder.with_allow_http(true);
    }
    let named = ["AWS_ACCESS_KEY_ID", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"];
    let vendor = std::fs::read_to_string("/sys/class/dmi/id/sys_vendor").unwrap_or_default();
    let access = if named.into_iter().any(|name| env::var_os(name).is_some()) {
        "with the credentials that the environment names"
    } else if vendor.contains("Amazon") {
        "as this VM's role"
    } else {
        builder = builder.with_skip_signature(true);
        "without credentials, for none were found (AWS_ACCESS_KEY_ID and the like name them, AWS_REGION the region)"
    };
    let store = builder.build().with_context(|| format!("opening the bucket {access}"))?;
    Ok(Connection { store: Arc::new(store), path: path.to_owned(), access: access.to_owned() })
}

/// The file or folder of this machine that `url` names, without links on the way; `None` where it names a bucket, or
/// nothing.
pub(super) fn local_path(url: &str) -> Option<PathBuf> {
    let (scheme, rest) = url.split_once("://").unwrap_or(("file", url));
    (scheme == "file").then(|| Path::new(rest).canonicalize().ok())?
}

fn local(path: &Path) -> Result<Connection> {
    let whole = path.canonicalize().with_context(|| format!("opening {}", path.display()))?;
    let (folder, file) = match whole.file_name().filter(|_| whole.is_file()).zip(whole.parent()) {
        Some((name, folder)) => (folder, name.to_string_lossy().into_owned()),
        None => (whole.as_path(), String::new()),
    };
    let store = LocalFileSystem::new_with_prefix(folder).with_context(|| format!("opening {}", path.display()))?;
    Ok(Connection { store: Arc::new(store), path: file, access: "on this machine".to_owned() })
}

/// What object_store does not pass on of the last answer.
#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    crc32c: Option<u32>,
    status: u16,
}

tokio::task_local! {
    static SEEN: Cell<Seen>;
}

/// Awaits requests; returns their result and the last CRC-32C that an answer contained.
pub(super) async fn watch<T>(requests: impl Future<Output = T>) -> (T, Option<u32>) {
    SEEN.scope(Cell::default(), async {
        let result = requests.await;
        (result, SEEN.with(Cell::get).crc32c)
    })
    .await
}

/// Whether the last answer inside [`watch`] was a refusal for which a retry is useless: 4xx, but neither "request
/// timeout" nor "too many requests".
pub(super) fn is_refused() -> bool {
    let status = SEEN.try_with(|seen| seen.get().status).unwrap_or_default();
    (400..500).contains(&status) && !matches!(status, 408 | 429)
}

#[derive(Debug)]
struct Watching;

impl HttpConnector for Watching {
    fn connect(&self, options: &object_store::ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(Watched(ReqwestConnector::default().connect(options)?)))
    }
}

#[derive(Debug)]
struct Watched(HttpClient);

#[async_trait]
impl HttpService for Watched {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        // The status of the previous answer does not apply to this request.
        let _ = SEEN.try_with(|seen| seen.set(Seen { status: 0, ..seen.get() }));
        let response = self.0.execute(request).await?;
        let (crc32c, status) = (crc32c_of(response.headers()), response.status().as_u16());
        // Outside `watch` there is nothing to set.
        let _ = SEEN.try_with(|seen| seen.set(Seen { crc32c: crc32c.or(seen.get().crc32c), status }));
        Ok(response)
    }
}

/// From `x-goog-hash: crc32c=n03x6A==,md5=…`, which may also come as two headers.
fn crc32c_of(headers: &HeaderMap) -> Option<u32> {
    let values = headers.get_all("x-goog-hash").into_iter().filter_map(|value| value.to_str().ok());
    let encoded = values.flat_map(|value| value.split(',')).find_map(|hash| hash.trim().strip_prefix("crc32c="))?;
    // Four bytes, big-endian.
    let bytes = base64::engine::general_purpose::STANDARD.decode(encoded).ok()?;
    Some(u32::from_be_bytes(bytes.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn googles_hashes_are_read() {
        let mut headers = HeaderMap::new();
        assert_eq!(crc32c_of(&headers), None);
        headers.append("x-goog-hash", "md5=XrY7u+Ae7tCTyyK7j1rNww==".parse().unwrap());
        assert_eq!(crc32c_of(&headers), None);
        headers.append("x-goog-hash", "crc32c=yZRlqg==".parse().unwrap());
        // "hello world".
        assert_eq!(crc32c_of(&headers), Some(0xc994_65aa));
        assert_eq!(crc32c::crc32c(b"hello world"), 0xc994_65aa);
    }

    #[test]
    fn other_addresses_are_errors() {
        let error = |url| connect(url, None).err().map(|error| error.to_string()).unwrap();
        assert_eq!(error("gs:///a"), "expected gs://bucket/path, found no bucket");
        assert_eq!(
            error("ftp://a/b"),
            "expected gs://bucket/path, s3://bucket/path or file:///path, found the scheme \"ftp\""
        );
    }
}
