/** Why a change does harm while the release before it still runs, and what to do instead. */
interface Rule {
  readonly problem: string
  readonly remedy: string
}

/** What the lint knows, by the codes that a migration may accept. */
export const rules = {
  'drop-table': {
    problem: 'The release that is running may still use the table.',
    remedy: 'Release code that does not use it first. Drop it in a later release.',
  },
  'drop-column': {
    problem: 'The release that is running may still read or write the column.',
    remedy:
      'First make it nullable and release code that does not use it. Drop it in a later release.',
  },
  'rename-table': {
    problem: 'The release that is running knows the table by its old name only.',
    remedy:
      'Create the new table beside it, write to both and copy the rows with runData. Drop the old one in a later release.',
  },
  'rename-column': {
    problem: 'The release that is running knows the column by its old name only.',
    remedy:
      'Add the new column beside it, write to both and copy the values with runData. Drop the old one in a later release.',
  },
  'not-null-without-default': {
    problem:
      'Rows may have no value for it, and inserts of the release that is running give it none.',
    remedy:
      'Add it as nullable or with a default. Make it not null, with a value for rows that have none (--fill), in a later release.',
  },
  'narrow-type': {
    problem:
      'Values that are there may not fit, and the release that is running may write more of them.',
    remedy:
      'First release code that writes only what fits, and mend the rest with runData. Change the column in a later release.',
  },
  'change-type': {
    problem: 'MySQL writes the whole table anew, and nobody can write to it meanwhile.',
    remedy:
      'Add a column of the new type, write to both and copy the values with runData. Drop the old one in a later release. Accept it for a small table.',
  },
  'add-check': {
    problem:
      'MySQL and MariaDB write the whole table anew to try a check on its rows, and nobody can write to it meanwhile.',
    remedy:
      'Apply it when there is little traffic. For a list that grows, let the API alone check it: column(schema, { check: false }). Accept it for a small table.',
  },
  'add-unique': {
    problem:
      'Values that are there twice make it fail, and the release that is running may write more of them. The whole table is read.',
    remedy:
      'First release code that writes none twice, and mend the rest with runData. Add it in a later release.',
  },
  'add-index': {
    problem:
      'The whole table is read. SQLite lets nobody write meanwhile; MySQL does, where it can build with ALGORITHM=INPLACE, LOCK=NONE.',
    remedy:
      'Apply it when there is little traffic. Build it on a very large table with an online schema change, then manage migrate --fake.',
  },
  'add-foreign-key': {
    problem:
      'Each row is checked, and nobody can write to either table meanwhile. Rows that refer to nothing make it fail.',
    remedy:
      'First release code that writes no such rows, and mend the rest with runData. Apply it when there is little traffic.',
  },
  'raw-sql': {
    problem: 'What the SQL does is not looked into.',
    remedy: 'Look through it for what the other codes warn of, then accept it.',
  },
  irreversible: {
    problem: 'manage migrate rollback cannot take it back.',
    remedy: 'Give the step a down, or accept it.',
  },
} as const satisfies Record<string, Rule>

export type Code = keyof typeof rules
