// Fetches a model from a Hugging Face-style hub into the cache (hub/cache.h).
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "hub/cache.h"
#include "hub/url.h"

namespace stepstone {

struct PullProgress {
  std::string file;
  std::uint64_t done = 0, size = 0;  // bytes of the file
  std::size_t index = 0, files = 0;  // which of how many
};

struct PullOptions {
  Url endpoint;
  std::string token;  // goes to the endpoint's own host alone; may be empty
  std::filesystem::path cache;
  std::vector<std::string> include;  // globs; empty: what a model needs
  bool offline = false;
  std::function<void(const PullProgress&)> on_progress = [](const PullProgress&) {};
  std::function<void(const std::string&)> on_note = [](const std::string&) {};
  std::function<bool()> stopped = [] { return false; };
  int tries = 5;          // of each request that got nowhere
  double first_wait = 1;  // seconds before the second try; doubles
};

struct PullResult {
  std::filesystem::path folder;  // the snapshot
  std::string commit;
  std::vector<std::string> files;
  std::vector<std::string> left_out;  // files of the repository that were not asked for
  std::uint64_t bytes = 0, fetched_bytes = 0;
  bool stopped = false;
};

// What is there already is not fetched again, and what was cut off goes on where it ended. Every
// file has the checksum that the hub lists (SHA-256, or git's SHA-1 for small ones) before it gets
// its name. Throws UsageError for names and choices that cannot be, NetworkError, IoError, and
// FormatError for an answer that no hub would give: a file name that leaves the folder, a wrong
// checksum, an endless body.
PullResult pull(const HubName& name, const PullOptions& options);

}  // namespace stepstone
