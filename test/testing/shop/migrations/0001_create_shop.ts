import { createTable, defineMigration } from 'plinth/migration'
import { Customer, Order } from '../models.ts'

export default defineMigration([
  createTable(Customer.table, Customer.state),
  createTable(Order.table, Order.state),
])
