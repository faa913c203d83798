// The keys of one architecture in a GGUF file. A key that nobody asked for must be one that cannot
// change what the model computes.
#pragma once

#include <set>
#include <string>
#include <string_view>

#include "io/gguf.h"

namespace stepstone {

class GgufKeys {
 public:
  // `file` must outlive this.
  GgufKeys(const GgufFile& file, std::string_view architecture)
      : file_(file), prefix_(std::string(architecture) + ".") {}

  bool has(std::string_view key) const { return file_.has(full(key)); }
  std::string full(std::string_view key) const { return prefix_ + std::string(key); }
  [[noreturn]] void fail(std::string_view key, std::string_view problem) const {
    file_.fail(full(key), problem);
  }

  // An array with one value per layer must hold the same for all.
  std::int64_t count(std::string_view key) const;
  std::int64_t count_or(std::string_view key, std::int64_t otherwise) const {
    return has(key) ? count(key) : otherwise;
  }
  double real(std::string_view key) const { return file_.get<double>(asked(key)); }
  double real_or(std::string_view key, double otherwise) const {
    return has(key) ? real(key) : otherwise;
  }
  std::string text_or(std::string_view key, const char* otherwise) const {
    return file_.get_or<std::string>(asked(key), otherwise);
  }
  std::vector<bool> flags(std::string_view key) const {
    return file_.get<std::vector<bool>>(asked(key));
  }
  // Where the key is there, it must say `expected`.
  void must_be(std::string_view key, std::int64_t expected) const;
  // The same for a number that may not be whole.
  void must_be_about(std::string_view key, double expected) const;

  // Throws FormatError naming a key that none of the above has read, unless it is known to be
  // harmless or has the value at which it changes nothing.
  void check_others() const;

 private:
  std::string asked(std::string_view key) const {
    asked_.emplace(key);
    return full(key);
  }

  const GgufFile& file_;
  std::string prefix_;
  mutable std::set<std::string, std::less<>> asked_;
};

}  // namespace stepstone
