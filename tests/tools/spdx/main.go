// spdx reads an SPDX 2.3 document from standard input as other programs do, checks it, also against the SPDX project's own schema, and prints
// what it holds.
package main

import (
	"bytes"
	_ "embed"
	"fmt"
	"io"
	"log"
	"os"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/spdx/tools-golang/json"
	"github.com/spdx/tools-golang/spdxlib"
)

// The file that the SPDX project's Java tools 1.1.8 (Apache-2.0) check with.
//
//go:embed spdx-2.3.schema.json
var schema []byte

const schemaID = "http://spdx.org/rdf/terms/2.3"

func main() {
	if err := run(); err != nil {
		log.Fatal(err)
	}
}

func run() error {
	content, err := io.ReadAll(os.Stdin)
	if err != nil {
		return err
	}
	if err := fitsTheSchema(content); err != nil {
		return err
	}
	document, err := json.Read(bytes.NewReader(content))
	if err != nil {
		return err
	}
	if err := spdxlib.ValidateDocument(document); err != nil {
		return err
	}
	described, err := spdxlib.GetDescribedPackageIDs(document)
	if err != nil {
		return err
	}
	fmt.Println(document.SPDXVersion, document.DocumentName, described)
	for _, pkg := range document.Packages {
		fmt.Println(pkg.PackageName, pkg.PackageVersion)
	}
	return nil
}

func fitsTheSchema(content []byte) error {
	rules, err := jsonschema.UnmarshalJSON(bytes.NewReader(schema))
	if err != nil {
		return err
	}
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(content))
	if err != nil {
		return err
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource(schemaID, rules); err != nil {
		return err
	}
	compiled, err := compiler.Compile(schemaID)
	if err != nil {
		return err
	}
	return compiled.Validate(document)
}
