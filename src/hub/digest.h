// The two names that a hub gives to a file's content.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace stepstone {

// SHA-256 of the bytes (a large file), or git's SHA-1 of "blob SIZE\0" and the bytes.
class Digest {
 public:
  static Digest sha256();
  static Digest git_blob(std::uint64_t size);

  Digest(Digest&&) noexcept;
  Digest& operator=(Digest&&) noexcept;
  ~Digest();

  void update(std::string_view bytes);
  std::string hex();  // once, at the end

 private:
  struct Context;
  explicit Digest(std::unique_ptr<Context> context);
  std::unique_ptr<Context> context_;
};

}  // namespace stepstone
