#include "io/hash.h"

#include <fmt/format.h>
#include <xxhash.h>

#include <new>
#include <vector>

#include "io/file.h"

namespace stepstone {

std::string Hash128::hex() const { return fmt::format("{:016x}{:016x}", high, low); }

Hasher::Hasher() : state_(XXH3_createState()) {
  if (!state_) throw std::bad_alloc();
  XXH3_128bits_reset(state_.get());
}

void Hasher::Free::operator()(XXH3_state_s* state) const { XXH3_freeState(state); }

void Hasher::update(const void* data, std::size_t size) {
  if (size > 0) XXH3_128bits_update(state_.get(), data, size);
}

Hash128 Hasher::digest() const {
  const XXH128_hash_t hash = XXH3_128bits_digest(state_.get());
  return {hash.high64, hash.low64};
}

Hash128 hash_bytes(std::string_view bytes) {
  const XXH128_hash_t hash = XXH3_128bits(bytes.data(), bytes.size());
  return {hash.high64, hash.low64};
}

Hash128 hash_file(const std::filesystem::path& path) {
  const File file = File::open(path);
  std::vector<char> buffer(std::size_t{1} << 20);
  Hasher hasher;
  while (const std::size_t n = file.read(buffer.data(), buffer.size())) {
    hasher.update(buffer.data(), n);
  }
  return hasher.digest();
}

}  // namespace stepstone
