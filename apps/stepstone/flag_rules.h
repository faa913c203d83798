// What holds for the flags of every verb.
#pragma once

#include <CLI/CLI.hpp>

namespace stepstone::cli {

// To be called when all verbs have been added. A number is decimal and within what its flag can
// hold (-1 is no seed); nothing but a list is given twice.
void apply_flag_rules(CLI::App& app);

// What is wrong with the command line, in our words.
std::string complaint(const CLI::ParseError& error, const CLI::App& app);

}  // namespace stepstone::cli
