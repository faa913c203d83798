// For tests only: a scratch folder, a full or read-only one, and checks of what errors say.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <functional>
#include <optional>
#include <string>

#include "core/error.h"

namespace stepstone::testing {

// An empty folder, removed with everything in it at the end.
class ScratchFolder {
 public:
  ScratchFolder();
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;
  ~ScratchFolder();

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path operator/(const std::string& name) const { return path_ / name; }
  // Names in the folder, hidden ones too, sorted and joined by spaces.
  std::string listing() const;

 private:
  std::filesystem::path path_;
};

// A file system in memory, mounted on a scratch folder for as long as this lives. Needs root.
class ScratchMount {
 public:
  // Empty where mounting is not allowed: the caller says so with GTEST_SKIP.
  static std::optional<ScratchMount> create(const ScratchFolder& at, const std::string& options);
  ScratchMount(ScratchMount&& other) noexcept;
  ScratchMount& operator=(ScratchMount&&) = delete;
  ~ScratchMount();

  void make_read_only();

 private:
  explicit ScratchMount(std::filesystem::path path) : path_(std::move(path)) {}
  std::filesystem::path path_;
};

// Writes without any care, as the tests' own hand does.
void put(const std::filesystem::path& path, const std::string& text);

// "" when `call` throws FormatError for `field` within a second and 64 MiB more of memory,
// otherwise what happened instead.
std::string format_error_mismatch(const std::function<void()>& call, const std::string& field);

// Runs `call`, which must throw an E, and returns the message.
template <typename E, typename F>
std::string message_of(F&& call) {
  try {
    call();
  } catch (const E& error) {
    return error.what();
  } catch (const std::exception& error) {
    ADD_FAILURE() << "another error: " << error.what();
    return "";
  }
  ADD_FAILURE() << "no error";
  return "";
}

}  // namespace stepstone::testing
