// Reads names off the source's types, so that a page of the documentation can be compared with them.

import { readFileSync } from 'node:fs';
import ts from 'typescript';

export const repositoryUrl: URL = new URL('../../', import.meta.url);

export function readText(path: string): string {
  return readFileSync(new URL(path, repositoryUrl), 'utf8');
}

function declarations(path: string): ts.NodeArray<ts.Statement> {
  return ts.createSourceFile(path, readText(path), ts.ScriptTarget.Latest).statements;
}

/** The strings of `type name = 'a' | 'b' | …`. */
export function unionMembers(path: string, name: string): string[] {
  const alias = declarations(path).find((node) => ts.isTypeAliasDeclaration(node) && node.name.text === name);
  if (alias === undefined || !ts.isTypeAliasDeclaration(alias) || !ts.isUnionTypeNode(alias.type)) {
    throw new Error(`${path} declares no union type ${name}`);
  }
  return alias.type.types.map((member) => {
    if (!ts.isLiteralTypeNode(member) || !ts.isStringLiteral(member.literal))
      throw new Error(`${name} is not all strings`);
    return member.literal.text;
  });
}

/** The property names of `interface name { … }`. */
export function interfaceMembers(path: string, name: string): string[] {
  const declaration = declarations(path).find((node) => ts.isInterfaceDeclaration(node) && node.name.text === name);
  if (declaration === undefined || !ts.isInterfaceDeclaration(declaration))
    throw new Error(`${path} declares no interface ${name}`);
  return declaration.members.map((member) => {
    if (member.name === undefined || !ts.isIdentifier(member.name))
      throw new Error(`${name} has a member without a plain name`);
    return member.name.text;
  });
}

/** The rows of the first table below a heading of a Markdown text, as lists of cells; without the header. */
export function tableBelow(markdown: string, heading: string): string[][] {
  const lines = markdown.split('\n');
  const start = lines.indexOf(heading);
  if (start < 0) throw new Error(`no heading "${heading}"`);
  const first = lines.findIndex((line, index) => index > start && line.startsWith('|'));
  const rows: string[][] = [];
  for (const line of lines.slice(first)) {
    if (!line.startsWith('|')) break;
    rows.push(
      line
        .slice(1, -1)
        .split(/(?<!\\)\|/)
        .map((cell) => cell.trim()),
    );
  }
  return rows.slice(2);
}

/** What a cell names in `code`. */
export function codeWords(cell: string | undefined): string[] {
  return [...(cell ?? '').matchAll(/`([^`]+)`/g)].map((match) => match[1] as string);
}
