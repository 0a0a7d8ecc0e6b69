package control

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestDocumentKindsAreAll: a kind that is not listed would stay under an old key
// when keys are rotated.
func TestDocumentKindsAreAll(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	var declared []string
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			spec, ok := n.(*ast.ValueSpec)
			if !ok || !strings.HasPrefix(spec.Names[0].Name, "kind") || len(spec.Values) != 1 {
				return true
			}
			if text, ok := spec.Values[0].(*ast.BasicLit); ok {
				kind, err := strconv.Unquote(text.Value)
				if err != nil {
					t.Fatal(err)
				}
				declared = append(declared, kind)
			}
			return true
		})
	}
	if !slices.Equal(declared, DocumentKinds()) {
		t.Errorf("declared are %q, DocumentKinds returns %q", declared, DocumentKinds())
	}
}
