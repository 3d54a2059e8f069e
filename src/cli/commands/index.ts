/** Every command, in the order of the help. */
import type { Command } from 'commander';
import type { Act } from '../program.js';
import { addAdapterCommands } from './adapters.js';
import { addDoctorCommand } from './doctor.js';
import { addExportCommand } from './export.js';
import { addFeedbackCommands } from './feedback.js';
import { addGenerateCommand } from './generate.js';
import { addHealthCommands } from './health.js';
import { addJobCommands } from './jobs.js';
import { addLoraCommands } from './lora.js';
import { addMergeCommand } from './merge.js';
import { addServeCommands } from './serve.js';
import { addTrainingCommands } from './training.js';
import { addValidateCommand } from './validate.js';

export function addCommands(program: Command, act: Act): void {
  addServeCommands(program, act);
  addTrainingCommands(program, act);
  addJobCommands(program, act);
  addAdapterCommands(program, act);
  addLoraCommands(program, act);
  addValidateCommand(program, act);
  addFeedbackCommands(program, act);
  addGenerateCommand(program, act);
  addHealthCommands(program, act);
  addExportCommand(program, act);
  addMergeCommand(program, act);
  addDoctorCommand(program, act);
}
