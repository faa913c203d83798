// One function per verb: it declares the verb's flags and what runs when they have been read.
#pragma once

#include <CLI/CLI.hpp>

namespace stepstone::cli {

void add_speedrun(CLI::App& app);
void add_data(CLI::App& app);
void add_tokenizer(CLI::App& app);
void add_train(CLI::App& app);
void add_tune(CLI::App& app);
void add_eval(CLI::App& app);
void add_generate(CLI::App& app);
void add_chat(CLI::App& app);
void add_serve(CLI::App& app);
void add_runs(CLI::App& app);
void add_bench(CLI::App& app);
void add_import(CLI::App& app);
void add_export(CLI::App& app);
void add_quantize(CLI::App& app);
void add_pull(CLI::App& app);

// A verb sets it when it ended early but in order (128 + signal after Ctrl-C).
inline int exit_status = 0;

}  // namespace stepstone::cli
