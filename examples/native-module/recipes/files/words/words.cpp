// A list of words that finds the one nearest to a text, in C++ with pybind11.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <limits>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "distance.h"

namespace py = pybind11;

namespace {

// What there is no word for. Python sees a class of its own, which is a `LookupError`.
class NoWord : public std::runtime_error {
    using std::runtime_error::runtime_error;
};

class Words {
public:
    explicit Words(std::vector<std::string> words) : words_(std::move(words)) {}

    // Counts from 0; `at` throws `std::out_of_range`.
    const std::string &at(std::size_t index) const { return words_.at(index); }

    std::size_t size() const { return words_.size(); }

    // Reserves memory for so many words; throws `std::bad_alloc` or `std::length_error`.
    void reserve(std::size_t count) { words_.reserve(count); }

    // Asks `accepts`, if there is one, about each word that would be the nearest yet.
    std::string nearest(const std::string &text, const std::optional<py::function> &accepts) const
    {
        const std::string *found = nullptr;
        std::size_t least = std::numeric_limits<std::size_t>::max();
        for (const std::string &word : words_) {
            // `row` is freed, whoever throws below.
            std::vector<std::size_t> row(text.size() + 1);
            const std::size_t distance =
                levenshtein(word.data(), word.size(), text.data(), text.size(), row.data());
            if (distance < least && (!accepts || (*accepts)(word).cast<bool>())) {
                least = distance;
                found = &word;
            }
        }
        if (found == nullptr)
            throw NoWord("there is no word for `" + text + "`");
        return *found;
    }

private:
    std::vector<std::string> words_;
};

} // namespace

PYBIND11_MODULE(words, module)
{
    module.doc() = "Lists of words.";
    py::register_exception<NoWord>(module, "NoWord", PyExc_LookupError);
    py::class_<Words>(module, "Words")
        .def(py::init<std::vector<std::string>>(), py::arg("words"))
        .def("__getitem__", &Words::at)
        .def("__len__", &Words::size)
        .def("reserve", &Words::reserve)
        .def("nearest", &Words::nearest, py::arg("text"), py::arg("accepts") = py::none());
}
