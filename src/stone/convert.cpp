#include "stone/convert.h"

#include <algorithm>
#include <map>
#include <tuple>

#include "io/atomic_folder.h"
#include "io/file.h"
#include "quant/mixture.h"
#include "stone/gguf_config.h"
#include "stone/gguf_model.h"
#include "stone/gguf_tokenizer.h"
#include "stone/model_file.h"

namespace stepstone {
namespace {

constexpr std::uint32_t kQuantizationVersion = 2;  // of ggml's block formats

std::string name_of_path(const std::filesystem::path& path) {
  const auto absolute = std::filesystem::absolute(path).lexically_normal();
  const auto last = (absolute.has_filename() ? absolute : absolute.parent_path()).filename();
  return (last.extension() == ".gguf" ? last.stem() : last).string();
}

// Those beyond eos: the format has room for two.
void write_end_tokens(const Stone& stone, GgufWriter& writer) {
  std::vector<std::int32_t> more = stone.end_tokens;
  if (const auto eos = stone.tokenizer.eos()) std::erase(more, *eos);
  constexpr const char* kKeys[] = {"tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"};
  for (std::size_t i = 0; i < std::min(more.size(), std::size(kKeys)); ++i) {
    writer.set(kKeys[i], static_cast<std::uint32_t>(more[i]));
  }
}

// One sentence per pair of types and length of rows.
std::vector<std::string> notes_of(const std::vector<GgufFallback>& fallbacks, std::size_t tensors) {
  using Kind = std::tuple<BlockType, BlockType, std::int64_t>;
  std::map<Kind, std::vector<std::string>> kinds;
  for (const GgufFallback& f : fallbacks) kinds[{f.wanted, f.type, f.row}].push_back(f.name);
  std::vector<std::string> notes;
  for (const auto& [kind, names] : kinds) {
    const auto [wanted, type, row] = kind;
    notes.push_back(fmt::format(
        "{} of {} tensors: {} instead of {}, because their rows of {} values are not a multiple "
        "of {}: {}{}",
        names.size(), tensors, name_of(type), name_of(wanted), row, info_of(wanted).elements,
        names.front(), names.size() > 1 ? ", …" : ""));
  }
  return notes;
}

}  // namespace

GgufSummary write_gguf(const std::filesystem::path& model, std::string_view mixture_name,
                       const std::filesystem::path& out, const GgufWriter::OnTensor& on_tensor) {
  const Mixture mixture = Mixture::named(mixture_name);
  std::error_code absent;
  require<UsageError>(!std::filesystem::equivalent(model, out, absent),
                      "{}: is the model itself: give the new file another name", out.string());
  GgufWriter writer;
  GgufSummary summary;
  std::unique_ptr<Transformer> weights;
  if (kind_of(model) == FileKind::file) {
    const GgufFile file = open_gguf_model(model);
    for (const auto& [key, value] : file.metadata()) {
      if (key != "general.alignment") writer.set(key, value);
    }
    const bool quantised = std::ranges::any_of(file.names(), [&](const std::string& name) {
      return cpu::has_block_kernel(file.info(name).type);
    });
    if (quantised) {
      summary.notes.emplace_back(
          "made from weights that are quantised already: the original gives better ones");
    }
    weights = load_weights(model);
  } else {
    Stone stone = load_stone(model);
    write_gguf_config(stone.model->config(), writer);
    summary.notes = gguf_losses(stone.model->config());
    writer.set("general.name", name_of_path(model));
    write_gguf_tokenizer(stone.tokenizer, stone.model->config().vocab_size, stone.chat_template,
                         writer);
    write_end_tokens(stone, writer);
    weights = std::move(stone.model);
  }
  writer.set("general.file_type", mixture.file_type());
  writer.set("general.quantization_version", kQuantizationVersion);
  const auto fallbacks = add_gguf_tensors(*weights, mixture, writer, model.string());
  writer.write(out, [&](std::size_t index, std::size_t count) {
    summary.tensors = count;
    if (on_tensor) on_tensor(index, count);
  });
  std::ranges::move(notes_of(fallbacks, summary.tensors), std::back_inserter(summary.notes));
  summary.bytes = std::filesystem::file_size(out);
  summary.bits_per_weight =
      8 * static_cast<double>(summary.bytes) / static_cast<double>(weights->parameters().numel());
  return summary;
}

void write_folder(const std::filesystem::path& model, DType dtype,
                  const std::filesystem::path& out) {
  require<UsageError>(kind_of(out) == FileKind::none, "{}: exists already", out.string());
  const Stone stone = load_stone(model);
  Json about = stone.about.is_object() ? stone.about : Json::object();
  about.erase("files");
  if (!about.contains("name")) about["name"] = name_of_path(out);
  about["imported_from"] = name_of_path(model);
  AtomicFolder folder(out);
  save_stone(folder.path(), {.model = stone.model.get(),
                             .tokenizer = &stone.tokenizer,
                             .chat_template = stone.chat_template,
                             .about = about,
                             .dtype = dtype,
                             .end_tokens = stone.end_tokens});
  folder.commit();
}

}  // namespace stepstone
