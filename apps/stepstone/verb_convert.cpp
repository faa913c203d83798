// stepstone import MODEL --out DIR, export -m MODEL --out PATH, quantize MODEL OUT TYPE
#include <unistd.h>

#include "core/version.h"
#include "io/file.h"
#include "io/run_registry.h"
#include "output.h"
#include "quant/mixture.h"
#include "stone/convert.h"
#include "verbs.h"

namespace stepstone::cli {
namespace {

// One line that is overwritten, where somebody is watching.
void show_progress(std::size_t index, std::size_t count) {
  if (isatty(STDERR_FILENO) == 0) return;
  put_note(fmt::format("\rtensor {} of {}{}", index + 1, count, index + 1 == count ? "\n" : ""));
}

// The topmost folder above `out` that is not there yet; empty when all are.
std::filesystem::path missing_folder(const std::filesystem::path& out) {
  std::filesystem::path missing;
  const auto absolute = std::filesystem::absolute(out).lexically_normal();
  auto above = (absolute.has_filename() ? absolute : absolute.parent_path()).parent_path();
  for (; kind_of(above) == FileKind::none && above.has_relative_path();
       above = above.parent_path()) {
    missing = above;
  }
  return missing;
}

// Folders above an output are made, here as in every verb; one that a slip of the pen made should
// not go unseen.
void note_made(const std::filesystem::path& folder) {
  if (!folder.empty()) put_note(fmt::format("note: made the folder {}\n", folder.string()));
}

// The new file joins the family of the run that made `model`, where this machine's registry knows
// it.
void record(const std::string& model, const std::string& out, const std::string& type) try {
  if (!std::filesystem::exists(RunRegistry::default_path())) return;
  RunRegistry registry;
  const auto parent = registry.find_by_folder(model);
  if (!parent) return;
  RunRecord child;
  child.name = std::filesystem::path(out).filename().string();
  child.kind = "quantize";
  child.out_dir = out;
  child.parents = {parent->id};
  child.recipe = {{"type", type}};
  child.code_version = fmt::format("{} ({})", kVersion, kGitCommit);
  registry.finish(registry.insert(child), RunStatus::done);
} catch (const Error& error) {
  put_note(fmt::format("note: the run registry was not updated: {}\n", error.what()));
}

void to_gguf(const std::string& model, const std::string& out, const std::string& type) {
  const auto missing = missing_folder(out);
  const GgufSummary s = write_gguf(model, type, out, show_progress);
  note_made(missing);
  record(model, out, type);
  for (const std::string& note : s.notes) put_note(fmt::format("note: {}\n", note));
  put_out(fmt::format("{}: {} tensors, {:.1f} MB, {:.2f} bits per weight\n", out, s.tensors,
                      static_cast<double>(s.bytes) / 1e6, s.bits_per_weight));
}

void to_folder(const std::string& model, const std::string& out, const std::string& type) {
  const Mixture mixture = Mixture::named(type);
  require<UsageError>(mixture.name() == "F32" || mixture.name() == "BF16",
                      "--type: a folder holds F32 or BF16, not {}", mixture.name());
  const auto missing = missing_folder(out);
  write_folder(model, mixture.name() == "BF16" ? DType::bf16 : DType::f32, out);
  note_made(missing);
  put_out(fmt::format("{}: written\n", out));
}

struct ConvertFlags {
  std::string model, out, format = "gguf", type;
};

std::string type_help() { return fmt::format("Of {}", fmt::join(Mixture::names(), ", ")); }

}  // namespace

void add_import(CLI::App& app) {
  auto flags = std::make_shared<ConvertFlags>();
  CLI::App* verb = app.add_subcommand("import", "Make a model folder from a GGUF file or a folder");
  verb->footer(
      "Reads what Hugging Face transformers or llama.cpp has written; the result is in\n"
      "Hugging Face layout, and every later change to it is noticed.");
  verb->add_option("model", flags->model, "GGUF file or model folder")->required();
  verb->add_option("-o,--out", flags->out, "The new folder")->required();
  verb->add_option("--type", flags->type, "F32 or BF16 (default: F32)");
  verb->callback(
      [flags] { to_folder(flags->model, flags->out, flags->type.empty() ? "F32" : flags->type); });
}

void add_export(CLI::App& app) {
  auto flags = std::make_shared<ConvertFlags>();
  CLI::App* verb = app.add_subcommand("export", "Write a model for other programs");
  verb->footer("--format gguf: one file for llama.cpp; --format hf: a folder for transformers.");
  verb->add_option("-m,--model", flags->model, "Model folder or GGUF file")->required();
  verb->add_option("-o,--out", flags->out, "The new file or folder")->required();
  verb->add_option("--format", flags->format, "gguf or hf")
      ->check(CLI::IsMember({"gguf", "hf"}))
      ->capture_default_str();
  verb->add_option("--type", flags->type, type_help() + " (default: F16; for a folder F32)");
  verb->callback([flags] {
    const bool gguf = flags->format == "gguf";
    const std::string type = flags->type.empty() ? (gguf ? "F16" : "F32") : flags->type;
    (gguf ? to_gguf : to_folder)(flags->model, flags->out, type);
  });
}

void add_quantize(CLI::App& app) {
  auto flags = std::make_shared<ConvertFlags>();
  CLI::App* verb = app.add_subcommand("quantize", "Make a model smaller, as a GGUF file");
  verb->footer(
      "Q4_K_M, Q5_K_M and the like are the mixtures of llama.cpp: the most sensitive\n"
      "tensors get more bits. Rows that do not fit a type's blocks get a nearby type.");
  verb->add_option("model", flags->model, "Model folder or GGUF file")->required();
  verb->add_option("out", flags->out, "The new GGUF file")->required();
  verb->add_option("type", flags->type, type_help())->required();
  verb->callback([flags] { to_gguf(flags->model, flags->out, flags->type); });
}

}  // namespace stepstone::cli
