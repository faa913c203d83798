// XXH3-128: the checksum of manifests, shards and data. Finds accidents, not adversaries.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

struct XXH3_state_s;

namespace stepstone {

struct Hash128 {
  std::uint64_t high = 0;
  std::uint64_t low = 0;

  bool operator==(const Hash128&) const = default;
  // 32 lower-case hexadecimal digits, most significant first (what `xxh128sum` prints).
  std::string hex() const;
};

// The hash of bytes that arrive in pieces.
class Hasher {
 public:
  Hasher();
  void update(const void* data, std::size_t size);
  Hash128 digest() const;

 private:
  struct Free {
    void operator()(XXH3_state_s* state) const;
  };
  std::unique_ptr<XXH3_state_s, Free> state_;
};

Hash128 hash_bytes(std::string_view bytes);
// Throws IoError.
Hash128 hash_file(const std::filesystem::path& path);

}  // namespace stepstone
