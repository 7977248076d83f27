// Prints the YAML documents on standard input as one JSON array: for tests that look into them.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"
)

func main() {
	documents, err := read(os.Stdin)
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(documents)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "documents:", err)
		os.Exit(1)
	}
}

func read(from io.Reader) ([]any, error) {
	reader := utilyaml.NewYAMLReader(bufio.NewReader(from))
	documents := []any{}
	for {
		text, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return documents, nil
		}
		if err != nil {
			return nil, err
		}
		var document any
		// Strict: a key that stands twice is a mistake.
		if err := yaml.UnmarshalStrict(bytes.TrimSpace(text), &document); err != nil {
			return nil, fmt.Errorf("%w in:\n%s", err, text)
		}
		if document != nil {
			documents = append(documents, document)
		}
	}
}
