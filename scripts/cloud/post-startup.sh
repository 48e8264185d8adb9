#!/bin/bash
# Sets a Workbench instance (Debian 12, user jupyter, data disk at /home/jupyter) up for the notebooks. A template: the
# library replaces words between @ signs. Runs as root after every start and does only what is missing.
#
#   /home/jupyter/covid-ct-setup.status   first line ok, running: STEP or failed: STEP; then notes
#   /home/jupyter/covid-ct-setup.log      everything printed
#
# For trying it elsewhere: COVID_CT_SETUP_USER and COVID_CT_SETUP_HOME name another user and home, and
# COVID_CT_SETUP_PROGRAM a program to run in the clone in place of `make setup`.
set -euo pipefail

repository=@REPOSITORY@
user=${COVID_CT_SETUP_USER:-jupyter}
home=${COVID_CT_SETUP_HOME:-/home/jupyter}
clone=$home/covid-ct
status=$home/covid-ct-setup.status
log=$home/covid-ct-setup.log
kernelspec=$home/.local/share/jupyter/kernels/covid-ct/kernel.json
driver_wanted=580
setup=(make PYTHON=/usr/bin/python3 setup)
if [ -n "${COVID_CT_SETUP_PROGRAM:-}" ]; then setup=("$COVID_CT_SETUP_PROGRAM"); fi
export DEBIAN_FRONTEND=noninteractive
step=begin
notes=()

# First line the state, then the notes; renamed into place, so that a reader never sees half of it.
write_status() {
  { printf '%s\n' "$1"; if [ "${#notes[@]}" -gt 0 ]; then printf 'note: %s\n' "${notes[@]}"; fi; } >"$status.new"
  chown "$user:" "$status.new"
  mv "$status.new" "$status"
}

begin() {
  step=$1
  printf '%s  %s\n' "$(date -u +%FT%TZ)" "$step"
  write_status "running: $step"
}

note() {
  printf 'note: %s\n' "$1"
  notes+=("$1")
}

finish() {
  local code=$?
  if [ "$code" -ne 0 ]; then
    printf '%s failed with code %s\n' "$step" "$code"
    write_status "failed: $step"
  fi
}

# As the notebooks' user, without root's environment, and without the lock (descriptor 9), which a process in the
# background would keep.
as_user() {
  runuser -u "$user" -- env -i HOME="$home" USER="$user" LOGNAME="$user" LANG=C.UTF-8 GIT_TERMINAL_PROMPT=0 \
    PATH="$home/.cargo/bin:/usr/local/bin:/usr/bin:/bin" COVID_CT_CACHE="$home/.cache/covid-ct" "$@" 9>&-
}

install_packages() {
  local missing=() pair
  # nasm: without it libjpeg-turbo is built without SIMD and decodes at half the speed.
  for pair in git:git make:make c++:g++ curl:curl nasm:nasm; do
    command -v "${pair%%:*}" >/dev/null || missing+=("${pair##*:}")
  done
  /usr/bin/python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3 python3-venv)
  if [ "${#missing[@]}" -eq 0 ]; then return; fi
  echo "installing ${missing[*]}"
  # The image updates itself after a start: wait for its lock.
  apt-get -o DPkg::Lock::Timeout=900 update -q 9>&-
  apt-get -o DPkg::Lock::Timeout=900 install -y -q --no-install-recommends "${missing[@]}" 9>&-
}

has_rust() {
  as_user "$home/.cargo/bin/rustc" --version && as_user "$home/.cargo/bin/cargo" --version
}

install_rust() {
  if has_rust 2>/dev/null; then return; fi
  if as_user "$home/.cargo/bin/rustup" --version 2>/dev/null; then
    # An interrupted installation leaves an incomplete toolchain, which rustup takes for a complete one.
    echo "rustup is there, but no rustc that runs: the toolchain is installed again"
    as_user "$home/.cargo/bin/rustup" toolchain uninstall stable || true
    as_user "$home/.cargo/bin/rustup" toolchain install stable --profile minimal
    as_user "$home/.cargo/bin/rustup" default stable
    has_rust
    return
  fi
  local installer=$home/.rustup-init.sh
  as_user curl --proto '=https' --tlsv1.2 -fsSL --retry 5 -o "$installer" https://sh.rustup.rs
  as_user sh "$installer" -y --profile minimal
  rm -f "$installer"
  has_rust
}

get_repository() {
  if as_user test -d "$clone/.git"; then
    # Local changes are kept, even if the clone is then not up to date.
    as_user git -C "$clone" pull --ff-only || note "git pull in $clone failed: the clone stays as it is"
  elif [ -e "$clone" ]; then
    echo "$clone is there but is no clone: move it away"
    return 1
  else
    rm -rf "$clone.new" # of a clone that was interrupted
    as_user git clone -- "$repository" "$clone.new"
    mv "$clone.new" "$clone"
  fi
}

has_gpu() {
  grep -qsx 0x10de /sys/bus/pci/devices/*/vendor
}

check_driver() {
  if ! has_gpu; then
    note "no NVIDIA GPU: networks run on the CPU"
    return
  fi
  local version=
  # The image installs the driver by itself, at the same time as this runs.
  for _ in $(seq 60); do
    version=$(nvidia-smi --query-gpu=driver_version --format=csv,noheader 2>/dev/null | head -n 1) || true
    # If it fails, it writes its error to standard output, too.
    [[ $version =~ ^[0-9]+(\.[0-9]+)*$ ]] && break
    version=
    sleep 10
  done
  if [ -z "$version" ]; then
    note "a GPU, but no NVIDIA driver that answers: networks run on the CPU; see $log"
  elif [ "${version%%.*}" -lt "$driver_wanted" ]; then
    note "NVIDIA driver $version is older than $driver_wanted: torch for CUDA 13 sees no GPU"
  else
    echo "NVIDIA driver $version"
  fi
}

main() {
  begin packages
  install_packages
  begin rust
  install_rust
  begin repository
  get_repository
  begin setup
  (cd "$clone" && as_user "${setup[@]}")
  begin kernel
  # The instance's own JupyterLab runs as this user and finds the kernel there.
  as_user test -s "$kernelspec"
  begin driver
  check_driver
  step=end
  write_status ok
  echo "ready"
}

id "$user" >/dev/null
test -d "$home"
exec 9>"$home/.covid-ct-setup.lock"
flock -n 9 || { echo "covid-ct: a set-up is running already; its log is $log"; exit 0; }
echo "covid-ct: setting up; the log is $log, the state is in $status"
touch "$log"
chown "$user:" "$log"
exec >>"$log" 2>&1
trap finish EXIT
main
